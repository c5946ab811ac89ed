import type { LayerState } from '@errata/rls';
import type { KeySource } from './key-source.js';
import type { MemoryWatch } from './memory.js';

/** One stream of batches through a layer. */
export interface StreamSpec {
  readonly batches: number;
  readonly batch: number;
  /** Numbers of batches before which `pause` is awaited. */
  readonly pauses: readonly number[];
  pause(): Promise<void>;
  onBatch(done: number): void;
  readonly signal: AbortSignal;
}

export interface StreamTimes {
  /** Milliseconds of each batch: apply, conversion to the log's form, append, and the fold where one was due. */
  readonly ms: readonly number[];
  /** Most resident bytes at any time of the stream. */
  readonly peak: number;
  /** Most resident bytes that one batch added while it ran, those of the stream's first batches apart. */
  readonly extra: number;
}

/** Batches left out of `extra`: they make the stream's own C and warm the allocator. */
export function warmUpBatches(foldPeriod: number): number {
  return foldPeriod + 2;
}

/** Runs a stream of new batches. Keys are drawn outside the timed part. */
export async function runStream(
  state: LayerState,
  source: KeySource,
  memory: MemoryWatch,
  foldPeriod: number,
  spec: StreamSpec,
): Promise<StreamTimes> {
  const ms: number[] = [];
  let peak = memory.peak();
  let extra = 0;
  for (let seq = 1; seq <= spec.batches; seq++) {
    spec.signal.throwIfAborted();
    if (spec.pauses.includes(seq - 1)) await spec.pause();
    const keys = source.next(spec.batch);
    const residual = source.nextResidual(state.outputs, spec.batch);
    memory.reset();
    const before = memory.now();
    ms.push(await timedBatch(state, seq, keys, residual));
    const high = memory.peak();
    peak = Math.max(peak, high);
    if (seq > warmUpBatches(foldPeriod)) extra = Math.max(extra, high - before);
    spec.onBatch(seq);
  }
  return { ms, peak, extra };
}

/** Milliseconds of one batch as a worker runs it: the factors, in the log's fp32, appended to the state. */
export async function timedBatch(
  state: LayerState,
  seq: number,
  keys: Parameters<LayerState['apply']>[0],
  residual: Parameters<LayerState['apply']>[1],
): Promise<number> {
  const begun = performance.now();
  const update = await state.apply(keys, residual);
  const g = { ...update.g, data: new Float32Array(update.g.data) };
  const b = { ...update.b, data: new Float32Array(update.b.data) };
  await state.append({ seq, sign: update.sign, keys: update.keys, g, b });
  return performance.now() - begun;
}
