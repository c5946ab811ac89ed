import type { Edit } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';

/** `errata quarantine list|release|reject`. */
export function addQuarantine(program: Command, contextOf: ContextOf): void {
  const quarantine = program
    .command('quarantine')
    .description('edits that a guard took back out of the weights')
    .option(...streamOption)
    .addHelpText(
      'after',
      '\nExamples:\n  errata quarantine\n  errata quarantine release edt_…\n  errata quarantine reject',
    );
  quarantine
    .command('list', { isDefault: true })
    .description('list them, and why they are there')
    .option(...streamOption)
    .action(async (options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const edits: Edit[] = [];
      for await (const edit of client.allEdits(stream.id, { status: 'quarantined', signal: context.signal }))
        edits.push(edit);
      context.result({ edits }, () => editLines(edits));
    });
  for (const operation of ['release', 'reject'] as const)
    quarantine
      .command(operation)
      .description(operation === 'release' ? 'write them again; guards judge them again' : 'end them as rejected')
      .argument('[edits...]', 'ids of edits (default: all that are in quarantine)')
      .option(...streamOption)
      .option('--reason <text>', 'kept with the edits')
      .action(async (ids: string[], options: { stream?: string; reason?: string }, command: Command) => {
        const context = contextOf(command);
        const client = await context.client();
        const stream = await findStream(context, client, options.stream);
        const choice = {
          ...(ids.length > 0 && { edits: ids }),
          ...(options.reason !== undefined && { reason: options.reason }),
        };
        const call = operation === 'release' ? client.releaseQuarantined : client.rejectQuarantined;
        const settled = await call(stream.id, choice, context);
        context.result(settled, () =>
          operation === 'release'
            ? `${settled.settled} edits are queued again.${stream.status === 'paused' ? ' The stream is paused: errata streams resume' : ''}`
            : `${settled.settled} edits are rejected.`,
        );
      });
}

/** A line for the reason and one for each edit: an id and a reason are longer than cells of a table. */
function editLines(edits: readonly Edit[]): string {
  if (edits.length === 0) return 'No edits are in quarantine.';
  const reasons = [...new Set(edits.map((edit) => edit.reason ?? ''))];
  return [
    ...reasons.flatMap((reason) => [
      reason,
      ...edits
        .filter((edit) => (edit.reason ?? '') === reason)
        .map((edit) => `  ${edit.id}  ${edit.prompt.replace('{}', () => edit.subject ?? '{}')} ${edit.target}`),
    ]),
    'Write them again with "errata quarantine release", or end them with "errata quarantine reject".',
  ].join('\n');
}
