import type { Command } from 'commander';
import { type ContextOf, fromHere } from '../context.js';
import { wholeNumber } from './edits.js';

/** `errata start`, `errata up`. */
export function addStack(program: Command, contextOf: ContextOf): void {
  program
    .command('start')
    .description('start the stack and run the example: stream edits, verify, revoke, roll back')
    .option('--once', 'stop when the example is done instead of keeping the stack up', false)
    .option('--edits <file>', 'NDJSON file of edits to stream in place of the example')
    .option('--data-dir <folder>', 'where the data lies (default: ERRATA_DATA, else .errata/data)')
    .addHelpText('after', '\nExample:\n  errata start --once --json')
    .action(async (options: { once: boolean; edits?: string; dataDir?: string }, command: Command) => {
      const { json, env } = contextOf(command);
      const { runStart } = await import('../start/index.js');
      await runStart({
        once: options.once,
        json,
        ...(options.edits !== undefined && { edits: fromHere(env, options.edits) }),
        ...(options.dataDir !== undefined && { dataDir: fromHere(env, options.dataDir) }),
      });
    });

  program
    .command('up')
    .description('start Postgres, Temporal and all services, and keep them up until Ctrl-C')
    .option('--port <port>', 'port of the HTTP API (default: a free one)', wholeNumber)
    .option('--data-dir <folder>', 'where the data lies (default: ERRATA_DATA, else .errata/data)')
    .addHelpText('after', '\nExample:\n  errata up --port 8080')
    .action(async (options: { port?: number; dataDir?: string }, command: Command) => {
      const { runUp } = await import('../up.js');
      await runUp(contextOf(command), options);
    });
}
