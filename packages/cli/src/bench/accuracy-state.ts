import type { Columns64, LayerState, Update } from '@errata/rls';
import type { ClosedLayer } from './closed-form.js';

/** Columns of C that are read at once. */
const BLOCK = 256;

/** A stream's columns: keys and V − W₀K. */
export interface StreamColumns {
  readonly keys: Columns64;
  readonly targets: Columns64;
}

/** Some of a stream's columns, in the order given. */
export function pick({ keys, targets }: StreamColumns, which: readonly number[]): StreamColumns {
  const from = ({ length, data }: Columns64): Columns64 => {
    const picked = new Float64Array(length * which.length);
    which.forEach((column, i) => {
      picked.set(data.subarray(column * length, (column + 1) * length), i * length);
    });
    return { length, count: which.length, data: picked };
  };
  return { keys: from(keys), targets: from(targets) };
}

/** Applies all columns in batches, each against the weights of its time. */
export async function applyAll(
  state: LayerState,
  columns: StreamColumns,
  batch: number,
  signal: AbortSignal,
  onProgress: (done: number) => void,
): Promise<void> {
  const { count } = columns.keys;
  for (let first = 0, seq = 1; first < count; first += batch, seq++) {
    signal.throwIfAborted();
    const { keys, targets } = pick(columns, range(first, Math.min(count, first + batch)));
    const present = await state.deltaTimes(keys);
    const residual = { ...targets, data: targets.data.map((y, i) => y - present.data[i]) };
    await appendUpdate(state, seq, await state.apply(keys, residual));
    if (seq % 10 === 0) onProgress(first + keys.count);
  }
}

/** Appends as a worker does: with G and B in the log's fp32. */
export async function appendUpdate(state: LayerState, seq: number, { sign, keys, g, b }: Update): Promise<void> {
  const single = (columns: Columns64) => ({ ...columns, data: new Float32Array(columns.data) });
  await state.append({ seq, sign, keys, g: single(g), b: single(b) });
}

/** C and W − W₀ of a state, read densely. */
export async function layerOf(state: LayerState): Promise<ClosedLayer> {
  const d = state.inputs;
  const c = new Float64Array(d * d);
  for (let first = 0; first < d; first += BLOCK) {
    const count = Math.min(BLOCK, d - first);
    const unit = new Float64Array(d * count);
    for (let j = 0; j < count; j++) unit[j * d + first + j] = 1;
    c.set((await state.inverseTimes({ length: d, count, data: unit })).data, first * d);
  }
  return { c, delta: await state.deltaRows(0, state.outputs) };
}

/** Uses a state and frees it. */
export async function withState<T>(state: LayerState, use: (state: LayerState) => Promise<T>): Promise<T> {
  try {
    return await use(state);
  } finally {
    state.dispose();
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
