import { type EditStatus, editStatusSchema } from '@errata/contracts';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { historyText } from '../revocation-text.js';
import { editsTable } from '../tables.js';

/** `errata edits`, with `show` and `expire`. */
export function addEdits(program: Command, contextOf: ContextOf): void {
  const edits = program
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

  edits
    .command('show')
    .description('one edit, and what became of it step by step')
    .argument('<edit>', 'id of the edit (edt_…)')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata edits show edt_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f')
    .action(async (id: string, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const history = await client.getEditHistory(stream.id, id, context);
      context.result(history, () => historyText(history));
    });

  edits
    .command('expire')
    .description('change when an edit is taken out again')
    .argument('<edit>', 'id of the edit (edt_…)')
    .option(...streamOption)
    .option('--at <time>', 'time with its offset, such as 2099-12-31T23:59:00+01:00')
    .option('--never', 'it stays', false)
    .addHelpText(
      'after',
      '\nExamples:\n  errata edits expire edt_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f --at 2099-12-31T23:59:00+01:00\n  errata edits expire edt_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f --never',
    )
    .action(async (id: string, options: { stream?: string; at?: string; never: boolean }, command: Command) => {
      if ((options.at === undefined) !== options.never) throw new UsageError('give either --at TIME or --never');
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const edit = await client.setExpiry(stream.id, id, options.at ?? null, context);
      context.result(edit, () => (edit.expiresAt ? `${id} expires at ${edit.expiresAt}.` : `${id} does not expire.`));
    });
}

/** Reads an argument as a whole number from 0. @throws InvalidArgumentError */
export function wholeNumber(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('A whole number is needed.');
  return Number(value);
}
