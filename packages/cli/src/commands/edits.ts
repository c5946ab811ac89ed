import { type EditStatus, editStatusSchema } from '@errata/contracts';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { editsTable } from '../tables.js';

/** `errata edits`, `errata revoke`. */
export function addEdits(program: Command, contextOf: ContextOf): void {
  program
    .command('edits')
    .description('list the edits of a stream')
    .option(...streamOption)
    .addOption(new Option('--status <status>', 'only those with this status').choices(editStatusSchema.options))
    .option('--after <ordinal>', 'start after this number', wholeNumber, 0)
    .option('--limit <count>', 'at most this many', wholeNumber, 100)
    .addHelpText('after', '\nExample:\n  errata edits --status verified --limit 20')
    .action(
      async (options: { stream?: string; status?: EditStatus; after: number; limit: number }, command: Command) => {
        const context = contextOf(command);
        const client = await context.client();
        const stream = await findStream(context, client, options.stream);
        const page = await client.listEdits(stream.id, {
          signal: context.signal,
          after: options.after,
          limit: Math.min(1000, options.limit),
          ...(options.status && { status: options.status }),
        });
        context.result(page, () =>
          page.next === null
            ? editsTable(page.edits)
            : `${editsTable(page.edits)}\n\nMore: errata edits --after ${page.next}`,
        );
      },
    );

  program
    .command('revoke')
    .description('take edits back out of the model, exactly')
    .argument('<edits...>', 'ids of the edits (edt_…)')
    .option(...streamOption)
    .option('-r, --reason <text>', 'kept with the edits')
    .addHelpText('after', '\nExample:\n  errata revoke edt_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f --reason "no longer true"')
    .action(async (edits: string[], options: { stream?: string; reason?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const change = await client.revoke(stream.id, edits, options.reason, context);
      context.result(
        change,
        () => `Revoked ${change.changed}. The head is now ${change.head}, log ${change.hash.slice(0, 16)}.`,
      );
    });
}

/** Reads an argument as a whole number from 0. @throws InvalidArgumentError */
export function wholeNumber(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('A whole number is needed.');
  return Number(value);
}
