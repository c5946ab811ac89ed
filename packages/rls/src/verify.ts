import { setImmediate } from 'node:timers/promises';
import type { LinearAlgebra, SymmetricInverse } from '@errata/tensor';
import { addInto, asRows, inner, norm, rowsOf, toDouble } from './columns.js';
import type { InverseCovariance } from './inverse.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import { panelsTimes, relativeDifference, squareOf } from './panel-products.js';
import type { RlsParts } from './parts.js';
import type { RefreshOptions } from './state-options.js';
import { baseResidualsOf, keysOf } from './survivors.js';

/** The state that the objective itself gives for a set of columns. */
export interface ClosedForm {
  /** W − W₀, dₒ × d row-major. */
  readonly delta: Float64Array;
  /** C, d × d. */
  readonly c: Float64Array;
}

/**
 * Minimiser of the objective in fp64, without the recursion: W − W₀ = (V − W₀K) Kᵀ A⁻¹, A = A₀ + K Kᵀ. Square matrices
 * and d³ operations: an oracle for tests and small layers.
 *
 * @param keys d × s  @param baseResidual V − W₀K, dₒ × s
 */
export async function closedForm(
  linalg: LinearAlgebra,
  inverse: InverseCovariance,
  keys: Columns64,
  baseResidual: Columns64,
): Promise<ClosedForm> {
  const d = inverse.dimension;
  const a = await squareOf(d, inverse.a0.panels());
  const rows = baseResidual.length;
  if (keys.count === 0) return { delta: new Float64Array(rows * d), c: linalg.invertSpd(a, d) };
  addInto(a, linalg.matmul(asRows(keys), asRows(keys), { transposeA: true }));
  const c = linalg.invertSpd(a, d);
  const cross = linalg.matmul(asRows(baseResidual), asRows(keys), { transposeA: true });
  return { delta: linalg.matmul({ rows, columns: d, data: cross }, { rows: d, columns: d, data: c }), c };
}

export interface Verification {
  /** Relative Frobenius error of the recorded W − W₀ against the closed form of the columns in the weights. */
  readonly weightError: number;
  /** The same for C. */
  readonly covarianceError: number;
  readonly survivingColumns: number;
}

/** Columns and rows gone through at once. */
const BLOCK = 256;

/**
 * Recomputes a state from the recorded keys and values in fp64 and compares, panel by panel and row block by row block:
 * d³ operations, no square matrix. With nothing left in the weights the error of W − W₀ is relative to what was put in
 * and taken out again. Of a part of a layer only the part is verified.
 *
 * @param options of the inversion; the signal is looked at throughout
 * @throws RlsError INVALID_TENSOR for a share of C whose source is not known; TensorError OUT_OF_MEMORY; the signal's
 * reason when aborted
 */
export async function verifyState(
  parts: RlsParts,
  state: LayerState,
  options: RefreshOptions = {},
): Promise<Verification> {
  const fresh = await state.freshInverse(options);
  try {
    const columns = state.columns();
    return {
      weightError: await weightError(parts, state, fresh, columns.length === 0, options.signal),
      covarianceError: await relativeDifference(state.inversePanels(), fresh),
      survivingColumns: columns.length,
    };
  } finally {
    await fresh.dispose();
  }
}

async function weightError(
  parts: RlsParts,
  state: LayerState,
  fresh: SymmetricInverse,
  empty: boolean,
  signal: AbortSignal | undefined,
): Promise<number> {
  let difference = 0;
  let size = 0;
  for (let from = 0; from < state.heldRows; from += BLOCK) {
    // Gives an abort a turn to come in.
    await setImmediate();
    signal?.throwIfAborted();
    const to = Math.min(from + BLOCK, state.heldRows);
    const expected = await expectedRows(parts, state, fresh, from, to);
    const recorded = recordedRows(parts.linalg, state, from, to);
    size += norm(expected) ** 2;
    difference += norm(addInto(recorded, expected, -1)) ** 2;
  }
  const scale = Math.max(Math.sqrt(size), empty ? movedNorm(parts.linalg, state) : 0);
  if (scale === 0) return difference === 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.sqrt(difference) / scale;
}

/** Rows of Σ (V − W₀K) Kᵀ C, row-major. */
async function expectedRows(
  { linalg }: RlsParts,
  state: LayerState,
  fresh: SymmetricInverse,
  from: number,
  to: number,
): Promise<Float64Array> {
  const d = state.inputs;
  const cross = new Float64Array((to - from) * d);
  const columns = state.columns();
  for (let at = 0; at < columns.length; at += BLOCK) {
    const block = columns.slice(at, at + BLOCK);
    const values = toDouble(rowsOf(baseResidualsOf(block, state.heldRows), from, to));
    addInto(cross, linalg.matmul(asRows(values), asRows(keysOf(block, d)), { transposeA: true }));
  }
  // C is symmetric: rows times C are, as columns, C times them.
  return (await panelsTimes(linalg, fresh, { length: d, count: to - from, data: cross })).data;
}

/** Rows of B Gᵀ with both factors as recorded, row-major: what the model runs with, less where W started. */
function recordedRows(linalg: LinearAlgebra, state: LayerState, from: number, to: number): Float64Array {
  const rows = new Float64Array((to - from) * state.inputs);
  for (const { b, g } of state.segments) {
    const own = toDouble(rowsOf(b, from, to));
    addInto(rows, linalg.matmul(asRows(own), asRows(toDouble(g)), { transposeA: true }));
  }
  return rows;
}

function movedNorm(linalg: LinearAlgebra, state: LayerState): number {
  const gram = (columns: Columns64) => linalg.matmul(asRows(columns), asRows(columns), { transposeB: true });
  return Math.max(
    0,
    ...state.segments.map(({ b, g }) => Math.sqrt(Math.max(0, inner(gram(toDouble(b)), gram(toDouble(g)))))),
  );
}
