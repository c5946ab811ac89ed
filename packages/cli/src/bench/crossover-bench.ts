import { chooseFoldRank, createState, predictBatchSeconds } from '@errata/rls';
import type { Precision } from '@errata/tensor';
import { choosePrecision, openParts } from './bench-engine.js';
import { renderChart } from './chart.js';
import { createKeySource } from './key-source.js';
import { type Provenance, provenance } from './machine.js';
import { availableMemory, checkMemory } from './memory.js';
import type { CrossoverOptions } from './options.js';
import { amortised, mean } from './statistics.js';
import { timedBatch } from './stream-run.js';
import { syntheticInverse } from './synthetic-inverse.js';

const BATCHES = [1, 10, 100] as const;
/** Largest rank at which folding is measured. */
const MAX_RANK = 1024;
/** Batches a point is measured over at least, in whole fold periods. */
const MIN_BATCHES = 6;
/** Ranks double, as those that the cost model chooses from. */
const STEP = 2;

/** Cost of folding at one rank. */
export interface CrossoverPoint {
  readonly batch: number;
  readonly foldRank: number;
  readonly msPerBatch: number;
  readonly predictedMs: number;
}

/** Result of `bench crossover`. */
export interface CrossoverReport extends Provenance {
  readonly engine: string;
  readonly precision: Precision;
  readonly dIn: number;
  readonly dOut: number;
  readonly points: readonly CrossoverPoint[];
  /** For each batch size the rank that the cost model chooses, and the measured one that was fastest. */
  readonly choices: readonly { readonly batch: number; readonly chosen: number; readonly fastest: number }[];
}

/** Measures batches against the rank at which the factored part is folded, beside the cost model's prediction. */
export async function benchCrossover(
  options: CrossoverOptions,
  run: { readonly signal: AbortSignal; onProgress(text: string): void },
): Promise<CrossoverReport> {
  const { dIn, dOut } = options;
  const parts = await openParts(options.engine);
  try {
    const precision = choosePrecision(options.precision, dIn, parts.engine);
    const edits = Math.max(...BATCHES) * MIN_BATCHES + MAX_RANK;
    const size = { ...options, batch: 1, edits, history: edits, foldRank: null };
    checkMemory(size, precision === 'fp32' ? 4 : 8, availableMemory());
    const profile = await parts.engine.profile(precision);
    const host = parts.engine.precisions.includes('fp64') ? await parts.engine.profile('fp64') : undefined;
    const source = createKeySource(dIn, options.seed);
    const inverse = await syntheticInverse(parts, source, precision);
    const points: CrossoverPoint[] = [];
    const choices: CrossoverReport['choices'][number][] = [];
    for (const batch of BATCHES) {
      if (batch > dIn / 2) continue;
      const shape = { inputs: dIn, outputs: dOut, batch };
      for (const foldRank of ranksFor(batch, dIn)) {
        const state = await createState(parts, inverse, { outputs: dOut, foldRank });
        const period = Math.ceil(foldRank / batch);
        // The first period makes the stream's own C.
        const total = period + period * Math.ceil(MIN_BATCHES / period);
        const ms: number[] = [];
        for (let seq = 1; seq <= total; seq++) {
          run.signal.throwIfAborted();
          ms.push(await timedBatch(state, seq, source.next(batch), source.nextResidual(dOut, batch)));
        }
        state.dispose();
        const measured = ms.slice(period);
        const msPerBatch = measured.length > period ? amortised(measured, period) : mean(measured);
        const predictedMs = 1000 * predictBatchSeconds(shape, profile, foldRank, host);
        points.push({ batch, foldRank, msPerBatch, predictedMs });
        run.onProgress(
          `batches of ${batch}, folded at rank ${foldRank}: ${msPerBatch.toFixed(2)} ms (predicted ${predictedMs.toFixed(2)})`,
        );
      }
      const own = points.filter((point) => point.batch === batch);
      const fastest = own.reduce((a, b) => (b.msPerBatch < a.msPerBatch ? b : a)).foldRank;
      choices.push({ batch, chosen: chooseFoldRank(shape, profile, host), fastest });
    }
    inverse.dispose();
    return { engine: parts.engine.name, precision, dIn, dOut, points, choices, ...(await provenance()) };
  } finally {
    await parts.engine.dispose();
  }
}

function ranksFor(batch: number, dimension: number): number[] {
  const most = Math.min(MAX_RANK, dimension / 2);
  const ranks: number[] = [];
  for (let rank = batch; rank <= most; rank *= STEP) ranks.push(rank);
  return ranks;
}

/** Measured curves with the predictions dashed. */
export function crossoverPlot(report: CrossoverReport): string {
  const curve = (batch: number, value: (point: CrossoverPoint) => number) =>
    report.points.filter((point) => point.batch === batch).map((point) => [point.foldRank, value(point)] as const);
  const batches = report.choices.map(({ batch }) => batch);
  return renderChart({
    title: 'When to fold the factored part into the dense one',
    subtitle: `${report.dIn.toLocaleString('en-US')} inputs, ${report.dOut.toLocaleString('en-US')} outputs, ${report.precision}, ${report.engine} engine, ${report.machine.cores} cores; dashed: predicted by the cost model`,
    xLabel: 'rank at which the factored part is folded',
    yLabel: 'milliseconds a batch, folds included',
    xScale: 'log',
    yScale: 'log',
    series: batches.flatMap((batch, colour) => [
      { name: `${batch} ${batch === 1 ? 'edit' : 'edits'} a batch`, points: curve(batch, (p) => p.msPerBatch), colour },
      { name: '', points: curve(batch, (p) => p.predictedMs), style: 'dashed' as const, colour },
    ]),
  });
}
