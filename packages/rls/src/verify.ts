import type { LinearAlgebra } from '@errata/tensor';
import { inverseFromKeys } from './base.js';
import { addInto, asRows, gather, inner, norm } from './columns.js';
import type { FactoredState } from './factored-state.js';
import type { InverseCovariance } from './inverse.js';
import type { Columns, Columns64 } from './notation.js';
import type { DerivedSegment } from './survivors.js';

/** The state that the objective itself gives for a set of columns. */
export interface ClosedForm {
  /** W − W₀, dₒ × d row-major. */
  readonly delta: Float64Array;
  /** C, d × d. */
  readonly c: Float64Array;
}

/**
 * Minimiser of the objective in fp64, without the recursion: W − W₀ = (V − W₀K) Kᵀ A⁻¹, A = A₀ + K Kᵀ. In dual form,
 * O(d²s), where there are fewer columns than inputs.
 *
 * @param keys d × s  @param baseResidual V − W₀K, dₒ × s
 */
export function closedForm(
  linalg: LinearAlgebra,
  inverse: InverseCovariance,
  keys: Columns64,
  baseResidual: Columns64,
): ClosedForm {
  const d = inverse.dimension;
  const s = keys.count;
  if (s === 0) return { delta: new Float64Array(baseResidual.length * d), c: inverse.c0.read().slice() };
  if (s >= d) {
    const c = inverseFromKeys(linalg, inverse, keys);
    const cross = linalg.matmul(asRows(baseResidual), asRows(keys), { transposeA: true });
    const left = { rows: baseResidual.length, columns: d, data: cross };
    return { delta: linalg.matmul(left, { rows: d, columns: d, data: c }), c };
  }
  const f = { rows: s, columns: d, data: linalg.matmul(asRows(keys), inverse.c0) };
  const m = linalg.matmul(f, asRows(keys), { transposeB: true });
  for (let i = 0; i < s; i++) {
    for (let j = 0; j < i; j++) m[j * s + i] = m[i * s + j] = (m[i * s + j] + m[j * s + i]) / 2;
    m[i * s + i] += 1;
  }
  const l = linalg.cholesky(m, s);
  const half = { rows: s, columns: d, data: linalg.solveLower(l, f.data, s, d) };
  const values = {
    rows: s,
    columns: baseResidual.length,
    data: linalg.solveLower(l, baseResidual.data, s, baseResidual.length),
  };
  return {
    delta: linalg.matmul(values, half, { transposeA: true }),
    c: addInto(inverse.c0.read().slice(), linalg.matmul(half, half, { transposeA: true }), -1),
  };
}

export interface Verification {
  /** Relative Frobenius error of the recorded W − W₀ against the closed form of the columns in the weights. */
  readonly weightError: number;
  /** The same for C. */
  readonly covarianceError: number;
  readonly survivingColumns: number;
}

function relativeError(actual: Float64Array, expected: Float64Array, scale: number): number {
  const size = Math.max(norm(expected), scale);
  if (size === 0) return norm(actual) === 0 ? 0 : Number.POSITIVE_INFINITY;
  return norm(actual.map((x, i) => x - expected[i])) / size;
}

/** W − W₀ = B Gᵀ with both factors as recorded, dₒ × d row-major: what the model runs with. */
function recordedDelta(linalg: LinearAlgebra, state: FactoredState): Float64Array {
  const stack = (pick: (s: DerivedSegment) => Columns, length: number) =>
    asRows(
      gather(
        length,
        state.segments.flatMap((s) => Array.from({ length: s.g.count }, (_, column) => ({ from: pick(s), column }))),
      ),
    );
  if (state.rank === 0) return new Float64Array(state.outputs * state.inputs);
  const b = stack((s) => s.b, state.outputs);
  return linalg.matmul(
    b,
    stack((s) => s.recordedG ?? s.g, state.inputs),
    { transposeA: true },
  );
}

/**
 * Recomputes a state from the recorded keys and values and compares. With nothing left in the weights the error of
 * W − W₀ is relative to what was put in and taken out again.
 */
export function verifyState(linalg: LinearAlgebra, state: FactoredState): Verification {
  const { keys, baseResidual } = state.survivors();
  const expected = closedForm(linalg, state.inverse, keys, baseResidual);
  let moved = 0;
  if (keys.count === 0)
    for (const s of state.segments) {
      const gram = (rows: ReturnType<typeof asRows>) => linalg.matmul(rows, rows, { transposeB: true });
      moved = Math.max(moved, Math.sqrt(Math.max(0, inner(gram(asRows(s.b)), gram(asRows(s.g))))));
    }
  return {
    weightError: relativeError(recordedDelta(linalg, state), expected.delta, moved),
    covarianceError: relativeError(state.inverseCovariance(), expected.c, 0),
    survivingColumns: keys.count,
  };
}
