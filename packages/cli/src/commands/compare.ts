import type { Diff, EditGist, MergeResponse, MergeStrategy } from '@errata/contracts';
import { type Command, Option } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { textTable } from '../tables.js';
import { seqNumber } from './position.js';

/** Edits of each kind shown to people; --json has up to a thousand. */
const editsShown = 20;

interface MergeCommandOptions {
  stream?: string;
  conflicts: MergeStrategy;
  revocations: boolean;
  dryRun: boolean;
}

/** `errata diff`, `errata merge`. */
export function addCompare(program: Command, contextOf: ContextOf): void {
  program
    .command('diff')
    .description('how two streams, or two positions of one, differ: edits, distance of the weights, drift')
    .argument('<from>', 'stream, or stream@seq')
    .argument('[to]', 'stream, or stream@seq; the head of the same stream when left out')
    .addHelpText('after', '\nExamples:\n  errata diff facts trial\n  errata diff facts@3 facts@7')
    .action(async (from: string, to: string | undefined, _options, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const [a, b] = [endOf(from), to === undefined ? undefined : endOf(to)];
      const query = {
        ...(a.seq !== undefined && { seq: a.seq }),
        ...(b !== undefined && { with: b.stream }),
        ...(b?.seq !== undefined && { withSeq: b.seq }),
      };
      const found = await client.diff(a.stream, { ...query, signal: context.signal });
      context.result(found, () => diffText(found));
    });

  program
    .command('merge')
    .description('write the edits of another stream here again, after listing what conflicts')
    .argument('<from>', 'stream whose edits are taken')
    .option(...streamOption)
    .addOption(
      new Option('--conflicts <strategy>', 'what becomes of conflicting edits: an error, as here, as there')
        .choices(['fail', 'ours', 'theirs'])
        .default('fail'),
    )
    .option('--revocations', 'also revoke here what was revoked there', false)
    .option('--dry-run', 'only say what would be done', false)
    .addHelpText('after', '\nExample:\n  errata merge trial --stream facts --dry-run')
    .action(async (from: string, options: MergeCommandOptions, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const { conflicts, revocations, dryRun } = options;
      const merge = await client.merge(stream.id, { from, conflicts, revocations, dryRun }, context);
      context.result(merge, () => mergeText(merge));
    });
}

/** A stream, or `stream@seq`. */
function endOf(text: string): { stream: string; seq?: number } {
  const at = text.lastIndexOf('@');
  return at < 0 ? { stream: text } : { stream: text.slice(0, at), seq: seqNumber(text.slice(at + 1)) };
}

function shown({ subject, prompt, target }: EditGist): string {
  return `${prompt.replace('{}', () => subject ?? '')} → ${target}`;
}

function listed(mark: string, lines: readonly string[], total: number): string[] {
  const rest = total - Math.min(lines.length, editsShown);
  return [
    ...lines.slice(0, editsShown).map((line) => `${mark} ${line}`),
    ...(rest > 0 ? [`${mark} … ${rest} more`] : []),
  ];
}

function diffText({ counts, added, removed, changed, layers, common }: Diff): string {
  return [
    `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed, ${counts.kept} kept; ${
      common ? `one history up to position ${common.seq}` : 'no common history'
    }.`,
    ...listed('+', added.map(shown), counts.added),
    ...listed('-', removed.map(shown), counts.removed),
    ...listed(
      '~',
      changed.map(({ from, to }) => `${shown(from)} ⇒ ${to.target}`),
      counts.changed,
    ),
    textTable(
      ['layer', 'distance', 'drift of the first', 'drift of the second'],
      layers.map(({ layer, distance, from, to }) => [
        layer,
        figure(distance),
        figure(from?.deltaNorm),
        figure(to?.deltaNorm),
      ]),
    ),
  ].join('\n');
}

function figure(value: number | undefined): string {
  return value === undefined ? '' : value.toPrecision(4);
}

function mergeText({ dryRun, counts, conflicts, edits, skipped = [], revoked }: MergeResponse): string {
  const kinds = {
    target: 'changed on both sides',
    'revoked-here': 'revoked here, changed there',
    'revoked-there': 'revoked there, changed here',
  } as const;
  const left = { expired: 'left out, it has expired', adapter: 'left out, only a new stream begins with an adapter' };
  return [
    ...listed(
      '!',
      conflicts.map(({ kind, ours, theirs }) => `${kinds[kind]}: ${shown(ours)} here, ${theirs.target} there`),
      counts.conflicts,
    ),
    ...listed('+', edits.map(shown), counts.edits),
    ...listed(
      '×',
      skipped.map(({ edit, reason }) => `${shown(edit)}: ${left[reason]}`),
      counts.skipped ?? 0,
    ),
    `${counts.edits} edits ${dryRun ? 'would be' : 'are'} queued, ${counts.present} are here already, ${counts.revocations} ${
      dryRun ? 'would be revoked' : 'are revoked in turn'
    }${revoked ? `; the head is now ${revoked.head}` : ''}.`,
  ].join('\n');
}
