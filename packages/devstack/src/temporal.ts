import { execFile } from 'node:child_process';
import { ErrataError } from '@errata/contracts';
import { accepts } from './ports.js';
import type { ProcessSpec } from './supervised.js';

export const defaultNamespace = 'default';

/** Whether the namespace of a Temporal server answers, asked with Temporal's own program. */
function namespaceAnswers(program: string, address: string, env: ProcessSpec['env']): Promise<boolean> {
  const args = ['operator', 'namespace', 'describe', '--namespace', defaultNamespace, '--address', address];
  return new Promise((resolve) => {
    execFile(program, args, { env: { ...env }, timeout: 5000 }, (error) => resolve(error === null));
  });
}

/**
 * Temporal's development server on a loopback port with its state in a SQLite file.
 * @throws ErrataError when there is no `temporal` program
 */
export function temporalSpec(options: {
  readonly program: string | undefined;
  readonly databaseFile: string;
  readonly logFile: string;
  readonly port: number;
  readonly cwd: string;
}): ProcessSpec {
  const { program, port } = options;
  if (program === undefined)
    throw new ErrataError(
      'NOT_READY',
      'there is no Temporal server: run `npm run setup`, put `temporal` on PATH, or set TEMPORAL_ADDRESS',
    );
  const address = `127.0.0.1:${port}`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
  return {
    name: 'temporal',
    command: program,
    args: [
      ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'error'],
      // What Temporal holds can be woken again from Postgres: losing a second of it to a power cut costs nothing.
      ...['--db-filename', options.databaseFile, '--sqlite-pragma', 'synchronous=0'],
    ],
    env,
    cwd: options.cwd,
    logFile: options.logFile,
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 10_000,
    readyTimeoutMs: 60_000,
    isReady: async () => (await accepts(address)) && (await namespaceAnswers(program, address, env)),
  };
}
