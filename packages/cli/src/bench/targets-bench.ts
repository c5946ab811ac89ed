import { resolveTargets, type TargetFigures } from '@errata/editor';
import { resolveTargetsPlainly } from '@errata/editor/baselines';
import { benchModel, type ModelBenchOptions, type ModelBenchReport, type ModelBenchRun, timed } from './model-bench.js';
import { median } from './statistics.js';
import { productRate, searchFlops } from './targets-floor.js';

/** Edits that the plain loop is timed on, at most: it is what takes the time. */
const PLAIN_EDITS = 10;

/** Result of `bench targets`. Ratios are our time over theirs; null where there is nothing to compare with. */
export interface TargetsReport extends ModelBenchReport {
  /** Median over the batches and rounds. */
  readonly secondsPerEdit: number;
  /** One edit at a time, all layers on whole padded sequences in each step; the same engine. Of the first edits. */
  readonly naiveSecondsPerEdit: number;
  /** Its seconds a step and edit over ours, both of the first batch: edits differ in the steps that they take. */
  readonly speedupOverNaive: number;
  readonly torchSecondsPerEdit: number | null;
  readonly ratioToTorch: number | null;
  /** The plain loop in PyTorch, and our speed over it, as of ours. */
  readonly torchNaiveSecondsPerEdit: number | null;
  readonly speedupOverTorchNaive: number | null;
  /** Largest difference of an edit's loss at any step from the plain loop's, both where the two ran. */
  readonly maxLossDifference: number;
  readonly maxLossDifferenceToTorch: number | null;
  /** Edits whose search took another number of steps than in the plain loop. */
  readonly otherSteps: number;
  readonly meanSteps: number;
  readonly meanFinalNll: number;
  readonly plainEdits: number;
  readonly rounds: number;
  /** Operations of the products of the search loop, and the rate of a large product in this run, the better of before and after. */
  readonly flopsPerEdit: number;
  readonly productFlops: number;
  /** The first over the second, and our time over that. */
  readonly floorSecondsPerEdit: number;
  readonly ratioToFloor: number;
  /** Resident memory after the first batch and after the last. */
  readonly residentBytesAtFirst: number;
  readonly residentBytesAtLast: number;
}

type Losses = readonly (readonly number[])[];

/** Times the target search; in every round each batch runs once on each side, so that all see the same machine. */
export function benchTargets(
  options: ModelBenchOptions & { readonly rounds: number },
  run: ModelBenchRun,
): Promise<TargetsReport> {
  return benchModel(options, run, async ({ model, config, batches, torch, pause }) => {
    const times = { ours: [] as number[], plain: [] as number[], torch: [] as number[], torchPlain: [] as number[] };
    const perStep = { ours: [] as number[], plain: Number.NaN, torchPlain: Number.NaN };
    const differences = { plain: 0, torch: 0, steps: 0 };
    const plainEdits = Math.min(PLAIN_EDITS, options.batch);
    await resolveTargets(model, batches[0].slice(0, 2), { ...config, maxSteps: 2 });
    if (torch) await torch.targets(batches.length - 1, false);
    const all: TargetFigures[] = [];
    const rate = await productRate(model);
    let residentBytesAtFirst = 0;
    let flops = 0;
    for (let round = 0; round < options.rounds; round++)
      for (const [index, edits] of batches.entries()) {
        run.signal.throwIfAborted();
        run.onProgress(`round ${round + 1} of ${options.rounds}, batch ${index + 1} of ${batches.length}`);
        const ours = await timed(() => resolveTargets(model, edits, config, { pause }));
        times.ours.push(ours.seconds / edits.length);
        if (times.ours.length === 1) residentBytesAtFirst = process.memoryUsage.rss();
        const losses: Losses = ours.result.figures.map((figures) => figures.losses);
        if (index === 0) perStep.ours.push(ours.seconds / losses.flat().length);
        if (torch) {
          const theirs = await torch.targets(index, false);
          times.torch.push(theirs.seconds / edits.length);
          differences.torch = Math.max(differences.torch, difference(losses, theirs.losses));
        }
        if (round > 0) continue;
        all.push(...ours.result.figures);
        flops += searchFlops(model, edits, config, ours.result.figures);
        if (index > 0) continue;
        const few = edits.slice(0, plainEdits);
        const plain = await timed(() => resolveTargetsPlainly(model, few, config, { pause }));
        times.plain.push(plain.seconds / few.length);
        const plainLosses = plain.result.figures.map((figures) => figures.losses);
        perStep.plain = plain.seconds / plainLosses.flat().length;
        differences.plain = difference(losses, plainLosses);
        differences.steps = plainLosses.filter((found, edit) => found.length !== losses[edit].length).length;
        if (torch) {
          const theirs = await torch.targets(index, true);
          times.torchPlain.push(theirs.seconds / edits.length);
          perStep.torchPlain = theirs.seconds / theirs.losses.flat().length;
        }
      }
    const residentBytesAtLast = process.memoryUsage.rss();
    const secondsPerEdit = median(times.ours);
    const productFlops = Math.max(rate, await productRate(model));
    const flopsPerEdit = flops / all.length;
    const floorSecondsPerEdit = flopsPerEdit / productFlops;
    const naiveSecondsPerEdit = median(times.plain);
    const mean = (of: (figures: TargetFigures) => number) =>
      all.reduce((sum, figures) => sum + of(figures), 0) / all.length;
    return {
      secondsPerEdit,
      naiveSecondsPerEdit,
      speedupOverNaive: perStep.plain / median(perStep.ours),
      torchSecondsPerEdit: torch && median(times.torch),
      ratioToTorch: torch && secondsPerEdit / median(times.torch),
      torchNaiveSecondsPerEdit: torch && median(times.torchPlain),
      speedupOverTorchNaive: torch && perStep.torchPlain / median(perStep.ours),
      maxLossDifference: differences.plain,
      maxLossDifferenceToTorch: torch && differences.torch,
      otherSteps: differences.steps,
      meanSteps: mean((figures) => figures.steps),
      meanFinalNll: mean((figures) => figures.finalNll),
      plainEdits,
      rounds: options.rounds,
      flopsPerEdit,
      productFlops,
      floorSecondsPerEdit,
      ratioToFloor: secondsPerEdit / floorSecondsPerEdit,
      residentBytesAtFirst,
      residentBytesAtLast,
    };
  });
}

/** Over edits and the steps that both took. */
function difference(a: Losses, b: Losses): number {
  return Math.max(
    0,
    ...b.flatMap((losses, edit) =>
      losses.flatMap((loss, step) => (step < a[edit].length ? [Math.abs(loss - a[edit][step])] : [])),
    ),
  );
}
