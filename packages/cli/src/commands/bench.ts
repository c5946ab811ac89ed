import { writeFile } from 'node:fs/promises';
import { locateTools } from '@errata/devstack';
import type { Command } from 'commander';
import type { RawRlsOptions } from '../bench/options.js';
import { type CliContext, type ContextOf, fromHere } from '../context.js';
import { UsageError } from '../failure.js';
import { textTable } from '../tables.js';
import { addHistoryBench } from './bench-history.js';
import { addModelBenches } from './bench-model.js';

interface RlsOptions extends RawRlsOptions {
  readonly python?: string;
  readonly compare: boolean;
  readonly plot?: string;
  readonly accuracy?: boolean;
  readonly keys?: string;
  readonly synthetic?: boolean;
}

interface CrossoverFlags extends RawRlsOptions {
  readonly plot?: string;
}

/** `errata bench rls|crossover|targets|keys|generate|memory`. */
export function addBench(program: Command, contextOf: ContextOf): void {
  const bench = program
    .command('bench')
    .description('measure the engine and the model on this machine, beside NumPy and PyTorch')
    .addHelpText('after', '\nExamples:\n  errata bench rls --json\n  errata bench crossover --plot crossover.svg');
  shared(bench.command('rls'))
    .description('time batches of recursive least squares against the machine’s floor, NumPy and PyTorch')
    .option('--batch <n>', 'edits a batch', '100')
    .option('--edits <n>', 'edits of the timed stream (default: those of --history)')
    .option('--history <n>', 'edits whose last 1 % are compared with the first (default: 10000, or those of --edits)')
    .option('--fold-rank <n>', 'rank at which the factored part is folded (default: chosen by the cost model)')
    .option('--python <path>', 'Python with NumPy or PyTorch (default: ERRATA_PYTHON, else python3)')
    .option('--no-compare', 'leave NumPy and PyTorch out')
    .option('--accuracy', 'instead of timing, compare with the closed form in fp64')
    .option('--keys <file>', 'with --accuracy: keys from a .f32 or .json file (default: the installed model’s)')
    .option('--synthetic', 'with --accuracy: made-up keys')
    .addHelpText(
      'after',
      '\nExamples:\n  errata bench rls --d-in 14336 --d-out 4096 --batch 100 --json\n  errata bench rls --d-in 1536 --d-out 576 --plot stream.svg\n  errata bench rls --accuracy',
    )
    .action(async (options: RlsOptions, command: Command) => {
      const context = contextOf(command);
      if (options.accuracy === true) await accuracy(options, context);
      else await speed(options, context);
    });
  shared(bench.command('crossover'))
    .description('time batches against the rank at which the factored part is folded, beside the cost model')
    .addHelpText('after', '\nExample:\n  errata bench crossover --d-in 4096 --d-out 1024 --plot crossover.svg')
    .action(async (options: CrossoverFlags, command: Command) => crossover(options, contextOf(command)));
  addModelBenches(bench, contextOf);
  addHistoryBench(bench, contextOf);
}

function shared(command: Command): Command {
  return command
    .option('--d-in <n>', 'inputs of the layer')
    .option('--d-out <n>', 'outputs of the layer')
    .option('--engine <engine>', 'native, wasm or webgpu', 'native')
    .option('--precision <precision>', 'auto, fp32 or fp64', 'auto')
    .option('--seed <n>', 'seed of the keys', '1')
    .option('--plot <file>', 'write a plot (SVG)');
}

async function speed(options: RlsOptions, context: CliContext): Promise<void> {
  const { parseRlsOptions } = await import('../bench/options.js');
  const { choosePython } = await import('../bench/python.js');
  if (options.keys !== undefined || options.synthetic)
    throw new UsageError('--keys and --synthetic go with --accuracy');
  const parsed = parseRlsOptions(options);
  const python = options.compare ? choosePython(options.python, context.env) : null;
  const { benchRls } = await import('../bench/rls-bench.js');
  const { rlsPlot, rlsText } = await import('../bench/rls-report.js');
  const report = await benchRls(parsed, { python, signal: context.signal, onProgress: context.output.live });
  context.output.done();
  await writePlot(options.plot, context, () => rlsPlot(report));
  context.result(report, () => rlsText(report));
}

async function accuracy(options: RlsOptions, context: CliContext): Promise<void> {
  const { parseAccuracyOptions } = await import('../bench/options.js');
  if (options.plot !== undefined) throw new UsageError('--accuracy has no plot');
  const parsed = parseAccuracyOptions(options);
  const { benchAccuracy } = await import('../bench/accuracy-bench.js');
  const report = await benchAccuracy(
    parsed,
    {
      file: options.keys === undefined ? null : fromHere(context.env, options.keys),
      modelPath: options.synthetic ? null : (locateTools(context.env).modelPath ?? null),
      onProgress: context.output.live,
    },
    context.signal,
  );
  context.output.done();
  const { revocation } = report;
  const row = (name: string, { weightError, covarianceError }: { weightError: number; covarianceError: number }) => [
    name,
    weightError.toExponential(1),
    covarianceError.toExponential(1),
  ];
  context.result(report, () =>
    [
      `${report.dIn} inputs, ${report.dOut} outputs, ${report.precision}, condition ${report.condition.toExponential(1)}; keys ${report.keys}`,
      '',
      textTable(
        ['relative error', 'W − W₀', 'C'],
        [
          row(`${report.edits} edits, against the closed form`, report),
          row(`${revocation.revoked} of ${revocation.edits} revoked, against never`, revocation.neverApplied),
          row(`${revocation.revoked} of ${revocation.edits} revoked, closed form`, revocation.closedForm),
        ],
      ),
    ].join('\n'),
  );
}

async function crossover(options: CrossoverFlags, context: CliContext): Promise<void> {
  const { parseCrossoverOptions } = await import('../bench/options.js');
  const parsed = parseCrossoverOptions(options);
  const { benchCrossover, crossoverPlot } = await import('../bench/crossover-bench.js');
  const report = await benchCrossover(parsed, { signal: context.signal, onProgress: context.output.live });
  context.output.done();
  await writePlot(options.plot, context, () => crossoverPlot(report));
  context.result(report, () =>
    textTable(
      ['edits a batch', 'folded at rank', 'ms a batch', 'predicted', ''],
      report.points.map(({ batch, foldRank, msPerBatch, predictedMs }) => {
        const choice = report.choices.find((c) => c.batch === batch);
        return [
          batch,
          foldRank,
          msPerBatch.toFixed(2),
          predictedMs.toFixed(2),
          [choice?.chosen === foldRank ? 'chosen' : '', choice?.fastest === foldRank ? 'fastest' : ''].join(' ').trim(),
        ];
      }),
    ),
  );
}

async function writePlot(file: string | undefined, context: CliContext, draw: () => string): Promise<void> {
  if (file === undefined) return;
  const path = fromHere(context.env, file);
  await writeFile(path, draw());
  context.output.line(`Wrote ${path}.`);
}
