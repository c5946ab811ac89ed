import type { LinearAlgebra, Operand64, Resident64 } from '@errata/tensor';
import { addInto, asRows } from './columns.js';
import type { InverseCovariance } from './inverse.js';
import type { Columns64 } from './notation.js';

/** The dense part of a state: all segments before `segments` folded in. */
export interface DenseBase {
  readonly segments: number;
  /** C, d × d. */
  readonly c: Operand64;
  /** Δ, dₒ × d row-major; null while it is zero. */
  readonly delta: Resident64 | null;
  /** tr C */
  readonly trace: number;
  readonly bytes: number;
  dispose(): void;
}

/** The base before any segment: C₀ itself, shared with other streams. */
export function initialBase(inverse: InverseCovariance): DenseBase {
  return { segments: 0, c: inverse.c0, delta: null, trace: inverse.trace, bytes: 0, dispose: () => undefined };
}

function denseBase(
  linalg: LinearAlgebra,
  segments: number,
  c: Float64Array,
  d: number,
  delta: Float64Array,
): DenseBase {
  let trace = 0;
  for (let i = 0; i < d; i++) trace += c[i * d + i];
  const residentC = linalg.upload(c, d, d);
  const residentDelta = linalg.upload(delta, delta.length / d, d);
  return {
    segments,
    c: residentC,
    delta: residentDelta,
    trace,
    bytes: residentC.bytes + residentDelta.bytes,
    dispose() {
      residentC.dispose();
      residentDelta.dispose();
    },
  };
}

/** C = (A₀ + K Kᵀ)⁻¹ from the surviving keys: sums are stable where differences of large inverses are not. */
export function inverseFromKeys(linalg: LinearAlgebra, inverse: InverseCovariance, keys: Columns64): Float64Array {
  const d = inverse.dimension;
  const a = inverse.a0.read().slice();
  if (keys.count > 0) addInto(a, linalg.matmul(asRows(keys), asRows(keys), { transposeA: true }));
  return linalg.invertSpd(a, d);
}

/** A base with the given weights change whose C is made anew from the surviving keys. */
export function rederivedBase(
  linalg: LinearAlgebra,
  inverse: InverseCovariance,
  segments: number,
  keys: Columns64,
  delta: Float64Array,
): DenseBase {
  return denseBase(linalg, segments, inverseFromKeys(linalg, inverse, keys), inverse.dimension, delta);
}

/** A base with the given C and weights change. */
export function foldedBase(
  linalg: LinearAlgebra,
  inverse: InverseCovariance,
  segments: number,
  c: Float64Array,
  delta: Float64Array,
): DenseBase {
  return denseBase(linalg, segments, c, inverse.dimension, delta);
}
