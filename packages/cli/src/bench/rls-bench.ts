import { availableParallelism, loadavg } from 'node:os';
import { createState } from '@errata/rls';
import { choosePrecision, fasterRates, openParts, profileAgain, unmeasuredReason } from './bench-engine.js';
import { type Compared, startComparisons } from './comparisons.js';
import { copyRate } from './copy-rate.js';
import { FLOOR_COUNTS, stepFloor } from './floor.js';
import { createKeySource } from './key-source.js';
import { provenance } from './machine.js';
import { availableMemory, checkMemory, watchMemory } from './memory.js';
import type { RlsBenchOptions } from './options.js';
import type { RlsBenchReport } from './rls-report.js';
import { amortised, flatness, middleOf } from './statistics.js';
import { runStream, timedBatch } from './stream-run.js';
import { syntheticInverse } from './synthetic-inverse.js';

/** Rounds of the comparators, spread over our stream. */
const ROUNDS = 4;
/** Progress is told this often in a stream. */
const REPORTS = 20;

/** What a benchmark is told besides its options. */
export interface BenchRun {
  /** The Python to compare with; null for none. */
  readonly python: string | null;
  readonly signal: AbortSignal;
  onProgress(text: string): void;
}

/**
 * Times a stream of batches through one layer, and between its parts the same step in NumPy and PyTorch.
 * @throws UsageError before anything is allocated where it would not fit into memory
 */
export async function benchRls(options: RlsBenchOptions, run: BenchRun): Promise<RlsBenchReport> {
  const { dIn, dOut, batch } = options;
  const [loadBefore] = loadavg();
  const parts = await openParts(options.engine);
  try {
    const precision = choosePrecision(options.precision, dIn, parts.engine);
    const bytesPerElement = precision === 'fp32' ? 4 : 8;
    checkMemory(options, bytesPerElement, availableMemory());
    run.onProgress(`${parts.engine.description}: measuring its rates`);
    const before = await parts.engine.profile(precision);
    const copied = parts.engine.name === 'webgpu' ? 0 : await copyRate();
    const source = createKeySource(dIn, options.seed);
    const memory = watchMemory();
    const baseline = memory.now();
    run.onProgress(`making C₀, ${dIn} × ${dIn} in ${precision}`);
    const inverse = await syntheticInverse(parts, source, precision);
    const make = () =>
      createState(parts, inverse, {
        outputs: dOut,
        batch,
        ...(options.foldRank !== null && { foldRank: options.foldRank }),
      });
    const trial = await make();
    await timedBatch(trial, 1, source.next(batch), source.nextResidual(dOut, batch));
    trial.dispose();
    const state = await make();
    const threads = availableParallelism();
    if (run.python !== null) run.onProgress('starting NumPy and PyTorch');
    const comparisons = await startComparisons(run.python, options, precision, threads, run.signal);
    const batches = Math.ceil(Math.max(options.edits, options.history) / batch);
    const foldPeriod = Math.ceil(state.foldRank / batch);
    let compared: readonly Compared[] = [];
    const stream = runStream(state, source, memory, foldPeriod, {
      batches,
      batch,
      pauses: Array.from({ length: ROUNDS }, (_, i) => Math.floor((batches * (i + 0.5)) / ROUNDS)),
      pause: () => comparisons.round(),
      onBatch(done) {
        if (done === batches || done % Math.ceil(batches / REPORTS) === 0)
          run.onProgress(`batch ${done} of ${batches}`);
      },
      signal: run.signal,
    });
    const times = await stream.finally(async () => {
      compared = await comparisons.finish();
    });
    const figures = { stateBytes: state.bytes + inverse.bytes, foldRank: state.foldRank };
    state.dispose();
    inverse.dispose();
    const after = await profileAgain(options.engine, precision);
    const rates = fasterRates({ ...before, copyBytes: Math.max(before.copyBytes, copied) }, after);
    const { floorMs, ...floor } = stepFloor({ dIn, dOut, batch, bytesPerElement, foldPeriod }, rates);
    const timed = times.ms.slice(0, Math.ceil(options.edits / batch));
    const msPerBatch = amortised(middleOf(timed), foldPeriod);
    const { lastToFirst, ...window } = flatness(times.ms.slice(0, Math.ceil(options.history / batch)), foldPeriod);
    const ratioTo = (library: 'numpy' | 'torch') => {
      const ms = compared.find((c) => c.library === library)?.msPerBatch ?? null;
      return ms === null ? null : msPerBatch / ms;
    };
    return {
      msPerBatch,
      floorMs,
      ratioToFloor: msPerBatch / floorMs,
      ratioToNumpy: ratioTo('numpy'),
      ratioToTorch: ratioTo('torch'),
      lastToFirst,
      peakBytes: times.peak - baseline,
      engine: parts.engine.name,
      engineDescription: parts.engine.description,
      precision,
      dIn,
      dOut,
      batch,
      edits: options.edits,
      history: options.history,
      seed: options.seed,
      threads,
      ...figures,
      foldPeriod,
      folds: Math.floor(timed.length / foldPeriod),
      matmulGflops: rates.matmulFlops / 1e9,
      copyGBps: rates.copyBytes / 1e9,
      floor: { ...floor, counted: FLOOR_COUNTS },
      flatness: window,
      updateExtraBytes: times.extra,
      updateExtraShareOfC: times.extra / (dIn * dIn * bytesPerElement),
      compared,
      unmeasured: unmeasuredReason(parts.engine),
      loadBefore,
      batchMs: times.ms.map((ms) => Number(ms.toPrecision(6))),
      ...(await provenance()),
    };
  } finally {
    await parts.engine.dispose();
  }
}
