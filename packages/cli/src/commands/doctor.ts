import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseServerName } from '@errata/contracts';
import { defaultDataDir, locateTools } from '@errata/devstack';
import type { Command } from 'commander';
import { readStack } from '../api-address.js';
import type { ContextOf } from '../context.js';
import { type Check, findingsText, runChecks } from '../doctor/check.js';
import { checkGraphics, probeAdapter } from '../doctor/graphics.js';
import {
  checkDisk,
  checkListening,
  checkMemory,
  checkNode,
  checkPorts,
  checkProgram,
  checkTool,
} from '../doctor/machine.js';
import { remedies } from './status.js';

const portOfPostgres = 5432;
/** Where the gateway listens unless told otherwise. */
const apiPort = 8080;

/** `errata doctor`. */
export function addDoctor(program: Command, contextOf: ContextOf): void {
  program
    .command('doctor')
    .description('check this machine, the tools, the engine and the running stack')
    .addHelpText('after', '\nEnds with 1 when a check fails.\nExample:\n  errata doctor --json')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const dataDir = defaultDataDir(context.env);
      const tools = locateTools();
      // Measured before anything else runs: the other checks would take time from it.
      const { checkEngine, checkMatrixEngine } = await import('../doctor/engine.js');
      const adapter = await probeAdapter();
      const engines = [
        ...(await runChecks({ engine: checkEngine(context.env, adapter) })),
        ...(await runChecks({ 'matrix engine': checkMatrixEngine(context.env, adapter) })),
        ...(await runChecks({ 'graphics card': () => checkGraphics(context.env, adapter) })),
      ];
      const rest = await runChecks({
        node: checkNode,
        compiler: checkProgram(
          'compiler',
          context.env.CXX ?? 'g++',
          ['--version'],
          'apt install g++: several times faster than wasm',
        ),
        python: checkProgram(
          'python',
          'python3',
          ['-m', 'pip', '--version'],
          'apt install python3 python3-pip: set-up downloads with it',
        ),
        temporal: checkTool('temporal', tools.temporal),
        model: checkTool('model', tools.modelPath),
        ports: checkPorts(apiPort),
        memory: checkMemory,
        disk: checkDisk(existingFolder(dataDir)),
        ...addressChecks(context.env),
        stack: checkStack(dataDir, context),
      });
      const findings = [...rest.slice(0, 3), ...engines, ...rest.slice(3)];
      if (findings.some((finding) => finding.state === 'fail')) process.exitCode = 1;
      context.result({ findings }, () => findingsText(findings));
    });
}

/** The servers that the environment names in place of the embedded ones. */
function addressChecks(env: Readonly<Record<string, string | undefined>>): Record<string, Check> {
  const checks: Record<string, Check> = {};
  const { DATABASE_URL, TEMPORAL_ADDRESS, MODEL_RUNTIME } = env;
  if (DATABASE_URL) {
    const url = URL.canParse(DATABASE_URL) ? new URL(DATABASE_URL) : null;
    checks.database = url
      ? checkListening(
          'database',
          url.hostname,
          Number(url.port || portOfPostgres),
          'start Postgres or correct DATABASE_URL',
        )
      : async () => ({
          name: 'database',
          state: 'fail',
          detail: 'DATABASE_URL is not a URL',
          remedy: 'write postgres://user:password@host:5432/database',
        });
  }
  const servers = [
    ['temporal server', 'TEMPORAL_ADDRESS', TEMPORAL_ADDRESS],
    ['runtime', 'MODEL_RUNTIME', MODEL_RUNTIME],
  ] as const;
  for (const [name, variable, list] of servers)
    for (const entry of list ? list.split(',').map((each) => each.trim()) : []) {
      const server = parseServerName(entry);
      // Which servers these records mean is the services' to find out.
      if (server.kind === 'srv') continue;
      checks[`${name} ${entry}`] = checkListening(name, server.host, server.port, `start it or correct ${variable}`);
    }
  return checks;
}

function checkStack(dataDir: string, context: ReturnType<ContextOf>): Check {
  return async () => {
    const stack = await readStack(dataDir);
    if (!stack && !context.env.ERRATA_API)
      return {
        name: 'stack',
        state: 'ok',
        detail: 'not running',
        remedy: 'start it with "errata up", or with the example: npm start',
      };
    const client = await context.client();
    await client.ready(context);
    const missing = remedies(await client.listTaskQueues(context));
    const detail = `ready at ${client.baseUrl}`;
    if (missing.length > 0)
      return {
        name: 'stack',
        state: 'fail',
        detail: `${detail}, but without orchestrators`,
        remedy: missing.join('; '),
      };
    return { name: 'stack', state: 'ok', detail };
  };
}

/** The folder itself or the nearest above it that is there. */
function existingFolder(folder: string): string {
  return existsSync(folder) ? folder : existingFolder(dirname(folder));
}
