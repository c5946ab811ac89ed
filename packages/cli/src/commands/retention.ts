import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { textTable } from '../tables.js';

/** `errata snapshots`, `errata gc`. */
export function addRetention(program: Command, contextOf: ContextOf): void {
  program
    .command('snapshots')
    .description('list positions whose weights are kept, so that going back there is fast')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata snapshots')
    .action(async (options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const snapshots = await client.listSnapshots(stream.id, context);
      context.result({ snapshots }, () =>
        snapshots.length === 0
          ? 'No snapshots. They are taken by themselves as the log grows, or with: errata checkpoint NAME --snapshot'
          : textTable(
              ['seq', 'kind', 'bytes', 'form', 'created'],
              snapshots.map(({ seq, kind, bytes, form, createdAt }) => [seq, kind, bytes, form, createdAt]),
            ),
      );
    });

  program
    .command('gc')
    .description('remove what no head, checkpoint or branch reaches any more')
    .option('--keep <days>', 'days that it is kept for a roll forward (default: 30)', days)
    .option('--dry-run', 'only say what would be removed', false)
    .addHelpText('after', '\nExamples:\n  errata gc --dry-run\n  errata gc --keep 7')
    .action(async (options: { keep?: number; dryRun: boolean }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const { keep, dryRun } = options;
      const found = await client.collectGarbage({
        dryRun,
        ...(keep !== undefined && { keepDays: keep }),
        signal: context.signal,
      });
      const { batches, entries, entryBytes, snapshots, chunks, chunkBytes, deliveries } = found;
      context.result(
        found,
        () =>
          `${dryRun ? 'Would remove' : 'Removed'} ${batches} batches with ${entries} log entries (${entryBytes} bytes), ${snapshots} snapshots, ${chunks} chunks (${chunkBytes} bytes), ${deliveries} notifications.`,
      );
    });
}

function days(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 36_500))
    throw new UsageError(`--keep ${JSON.stringify(text)}: give a number of days from 0`);
  return value;
}
