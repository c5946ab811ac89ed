import type { Damage, RepairReport, TakeSnapshotResponse } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { checkpointsTable, textTable } from '../tables.js';
import { addPositionOptions, type PositionOptions, positionFrom } from './position.js';

/** `errata checkpoint`, `errata rollback`, `errata verify`. */
export function addHistory(program: Command, contextOf: ContextOf): void {
  program
    .command('checkpoint')
    .description('name the present position of the log; without a name, list the names')
    .argument('[name]', 'lower-case letters, digits, . _ -')
    .option(...streamOption)
    .option('--snapshot', 'also keep the weights of the position, so that going back there is fast', false)
    .addHelpText('after', '\nExamples:\n  errata checkpoint before-release\n  errata checkpoint release-7 --snapshot')
    .action(async (name: string | undefined, options: { stream?: string; snapshot: boolean }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      if (name === undefined) {
        const checkpoints = await client.listCheckpoints(stream.id, context);
        context.result({ checkpoints }, () => checkpointsTable(checkpoints));
        return;
      }
      const checkpoint = await client.createCheckpoint(stream.id, name, context);
      const snapshot = options.snapshot ? await client.takeSnapshot(stream.id, { checkpoint: name }, context) : null;
      context.result({ ...checkpoint, ...(options.snapshot && { snapshot }) }, () =>
        [
          `${name} is position ${checkpoint.seq}, log ${checkpoint.hash.slice(0, 16)}. Back to it with: errata rollback ${name}`,
          ...(options.snapshot ? [snapshotText(snapshot)] : []),
        ].join('\n'),
      );
    });

  addPositionOptions(
    program
      .command('rollback')
      .description('move the head to a position, a checkpoint, a time, or before an edit; nothing is deleted')
      .argument('[to]', 'name of a checkpoint, or a position (0 is the unedited model)')
      .option(...streamOption),
    '--to-seq',
  )
    .addHelpText('after', '\nExamples:\n  errata rollback before-release\n  errata rollback --at 1h')
    .action(async (to: string | undefined, options: PositionOptions & { stream?: string }, command: Command) => {
      const position = positionFrom(to, options);
      if (position === null)
        throw new UsageError(
          'say where to: a checkpoint, --to-seq, --at or --before; "errata log" shows the positions',
        );
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const change = await client.rollback(stream.id, position, context);
      context.result(
        change,
        () =>
          `The head is now ${change.head}, log ${change.hash.slice(0, 16)}; ${change.changed} ${change.changed === 1 ? 'edit' : 'edits'} changed state. ${change.head > stream.head ? 'Back' : 'Forward'} again with: errata rollback ${stream.head}`,
      );
    });

  program
    .command('verify')
    .description('recompute the hash chain of the log; with --deep also the weights, in fp64')
    .option(...streamOption)
    .option('--deep', 'recompute each layer from the recorded keys and values', false)
    .option('--repair', 'first put back what is damaged, as far as the log can give it', false)
    .addHelpText('after', '\nExamples:\n  errata verify --deep\n  errata verify --repair')
    .action(async (options: { stream?: string; deep: boolean; repair: boolean }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const { deep, repair } = options;
      const found = await client.verify(stream.id, { signal: context.signal, deep, repair });
      if (!found.ok) process.exitCode = 1;
      context.result(found, () =>
        [
          ...repairLines(found.repair ?? null),
          found.ok
            ? `The log is intact: ${found.entries} entries up to position ${found.seq}, hash ${found.hash}.`
            : `The log is NOT intact at position ${found.seq}:\n${found.problems.map((problem) => `  ${problem}`).join('\n')}`,
          ...(found.deep
            ? [
                textTable(
                  ['layer', 'columns', 'weight error', 'covariance error', 'sha256 of the change'],
                  found.deep.map((layer) => [
                    layer.layer,
                    layer.survivingColumns,
                    layer.weightError.toExponential(2),
                    layer.covarianceError.toExponential(2),
                    layer.deltaSha256.slice(0, 16),
                  ]),
                ),
              ]
            : []),
        ].join('\n'),
      );
    });
}

function snapshotText(snapshot: TakeSnapshotResponse['snapshot']): string {
  if (snapshot === null) return 'No snapshot: the log up to there is short, and read as fast.';
  return `${snapshot.created ? 'Kept' : 'There is'} a snapshot of position ${snapshot.seq}, ${snapshot.bytes} bytes.`;
}

function repairLines(report: RepairReport | null): string[] {
  if (report === null) return [];
  const place = ({ seq, layer, tensor }: Damage) =>
    `${tensor}${layer === null ? '' : ` of layer ${layer}`} at position ${seq}`;
  return [
    ...report.repaired.map((damage) => `repaired: ${place(damage)}`),
    ...report.lost.map((damage) => `beyond repair: ${place(damage)}: ${damage.detail}`),
    ...(report.lastGood === null
      ? []
      : [`The last good position is ${report.lastGood}: errata rollback ${report.lastGood}`]),
  ];
}
