import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { locateTools } from '@errata/devstack';
import type { Command } from 'commander';
import { type CliContext, type ContextOf, fromHere } from '../context.js';
import { UsageError } from '../failure.js';
import { textTable } from '../tables.js';

/** The model runtime's own program: only it may hold both the model and the log. */
const program = fileURLToPath(new URL('../../../../services/model-runtime/dist/bench-history.js', import.meta.url));

interface HistoryFlags {
  readonly positions: string;
  readonly rollbacks: string;
  readonly every: string;
  readonly batch: string;
  readonly model?: string;
}

/** `errata bench history`. */
export function addHistoryBench(bench: Command, contextOf: ContextOf): void {
  bench
    .command('history')
    .description('time rollbacks, branches and snapshots of a long log in a Postgres of its own')
    .option('--positions <n>', 'positions of the log', '10000')
    .option('--batch <n>', 'edits of a position', '1')
    .option('--rollbacks <n>', 'rollbacks to random positions, each with an answer of the model', '20')
    .option('--every <n>', 'positions between two snapshots', '500')
    .option('--model <file>', 'weight file (default: the installed model)')
    .addHelpText(
      'after',
      '\nExamples:\n  errata bench history --json\n  errata bench history --positions 1000 --every 250',
    )
    .action(async (flags: HistoryFlags, command: Command) => {
      const context = contextOf(command);
      const model = flags.model === undefined ? locateTools(context.env).modelPath : fromHere(context.env, flags.model);
      if (model === undefined)
        throw new UsageError('no model is installed: run "npm run setup", or name one with --model');
      const { positions, rollbacks, every, batch } = flags;
      const numbers = { positions, rollbacks, every, batch };
      for (const [name, value] of Object.entries(numbers))
        if (!/^[1-9]\d{0,6}$/.test(value))
          throw new UsageError(`--${name} ${JSON.stringify(value)}: give a whole number from 1`);
      const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, value]);
      const report = await run(['--model', model, ...args], context);
      context.output.done();
      context.result(report, () => textTable(['figure', 'value'], rowsOf(report)));
    });
}

/** Runs the program to its end, with its progress shown. @throws Error with what it said last */
async function run(args: readonly string[], { signal, output }: CliContext): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [program, ...args], { signal, stdio: ['ignore', 'pipe', 'pipe'] });
  let result = '';
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    result += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk;
    output.live(said.trim().split('\n').at(-1) ?? '');
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`the benchmark ended with ${code}: ${said.trim().split('\n').slice(-3).join(' | ')}`);
  return JSON.parse(result) as Record<string, unknown>;
}

function rowsOf(report: Record<string, unknown>): [string, string][] {
  return Object.entries(report).map(([name, value]) => [
    name,
    typeof value === 'number' ? String(Number(value.toPrecision(4))) : JSON.stringify(value),
  ]);
}
