import type { Stream, StreamEvent } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { guardDeed } from '../drift-text.js';
import { streamsTable, textTable } from '../tables.js';
import { addPositionOptions, type PositionOptions, positionFrom } from './position.js';

/** `errata branch`, `errata log`. */
export function addBranches(program: Command, contextOf: ContextOf): void {
  addPositionOptions(
    program
      .command('branch')
      .description('make a stream that goes on from a position of another; without a name, list the branches')
      .argument('[name]', 'name of the new stream')
      .option(...streamOption),
    '--seq',
  )
    .addHelpText('after', '\nExamples:\n  errata branch trial --stream facts\n  errata branch yesterday --at 1d')
    .action(async (name: string | undefined, options: PositionOptions & { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const origin = await findStream(context, client, options.stream);
      const position = positionFrom(undefined, options);
      if (name === undefined && position === null) {
        const branches = await client.listBranches(origin.id, context);
        context.result({ branches }, () =>
          branches.length === 0
            ? `${origin.name} has no branches. Make one with: errata branch NAME`
            : streamsTable(branches),
        );
        return;
      }
      const stream = await client.createBranch(
        origin.id,
        { ...position, ...(name !== undefined && { name }) },
        context,
      );
      context.result(
        { stream },
        () => `${stream.name} (${stream.id}) goes on from position ${stream.head} of ${origin.name}.`,
      );
    });

  program
    .command('log')
    .alias('timeline')
    .description('where the head has been: steps, rollbacks, checkpoints, branches, merges and guards, oldest first')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata log --stream facts')
    .action(async (options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const events = await client.listEvents(stream.id, context);
      context.result({ head: stream.head, events }, () => timeline(stream, events));
    });
}

function timeline(stream: Stream, events: readonly StreamEvent[]): string {
  const rows = events.map(({ at, kind, seq, detail }) => [at, kind, seq, described(kind, detail)]);
  const guards = events
    .filter(({ kind }) => kind === 'guard')
    .map(
      ({ at, detail }) =>
        `\n${at} after batch ${String(detail.batch)}: ${String(detail.why)}\n  What was done: ${guardDeed(detail)}.\n  What to do: ${String(detail.next)}`,
    );
  return [`${textTable(['time', 'event', 'seq', 'what'], rows)}`, `The head is ${stream.head}.`, ...guards].join('\n');
}

/** A step of a publication: what was done, and what came of it. */
function published(detail: StreamEvent['detail']): string {
  const { step, status, alias, target, loraName } = detail;
  const said = ['streamRight', 'serverRight', 'version', 'detail'].flatMap((field) =>
    detail[field] === undefined || detail[field] === null ? [] : [`${field} ${String(detail[field])}`],
  );
  const where = `${String(alias)} on ${String(target)}, ${String(loraName)}`;
  return [`${where}: ${step === 'end' ? String(status) : String(step)}`, ...said].join(', ');
}

/** What a person wants to know of an event, out of its detail. */
function described(kind: StreamEvent['kind'], detail: StreamEvent['detail']): string {
  const text = (field: string) => String(detail[field] ?? '');
  switch (kind) {
    case 'batch':
      return detail.adapter === undefined ? `${text('edits')} written` : 'an adapter imported';
    case 'revoke':
      return detail.supersededBy === undefined
        ? `${text('edits')} revoked`
        : `${text('edits')} superseded by ${text('supersededBy')}`;
    case 'revocation':
      return `${text('revocation')} (${text('cause')}) ${text('status')}`;
    case 'expiry':
      return detail.expiresAt === null ? `${text('edit')} stays` : `${text('edit')} expires at ${text('expiresAt')}`;
    case 'rollback':
      return `from ${text('from')}, ${text('edits')} edits changed state`;
    case 'created':
      return detail.adapter === undefined ? text('name') : `${text('name')}, to begin with an adapter`;
    case 'checkpoint':
      return text('name');
    case 'branch':
      return `${text('name')} left here`;
    case 'merge':
      return `${text('edits')} edits of ${text('name')} queued`;
    case 'publication':
      return published(detail);
    case 'paused':
    case 'resumed':
    case 'prepared':
    case 'failed':
      return text('detail');
    case 'guard':
      return guardDeed(detail);
    case 'quarantine':
      return `${text('edits')} ${text('what') === 'release' ? 'released, queued again' : 'rejected'}`;
    case 'collected':
    case 'repaired':
      return Object.entries(detail)
        .filter(([, value]) => typeof value !== 'object')
        .map(([field, value]) => `${field} ${String(value)}`)
        .join(', ');
  }
}
