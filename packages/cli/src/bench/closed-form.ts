import type { Columns64 } from '@errata/rls';
import type { LinearAlgebra } from '@errata/tensor';

/** A layer by the objective itself: C d × d and W − W₀ dₒ × d, both row-major. */
export interface ClosedLayer {
  readonly c: Float64Array;
  readonly delta: Float64Array;
}

/**
 * The closed form in fp64 from all columns at once: C = (A₀ + K Kᵀ)⁻¹, W − W₀ = Y Kᵀ C with Y = V − W₀K.
 *
 * @param a0 d × d  @param keys K, d × s  @param targets Y, dₒ × s
 */
export function closedLayer(linalg: LinearAlgebra, a0: Float64Array, keys: Columns64, targets: Columns64): ClosedLayer {
  const d = keys.length;
  const k = { rows: keys.count, columns: d, data: keys.data };
  const y = { rows: targets.count, columns: targets.length, data: targets.data };
  const a = linalg.matmul(k, k, { transposeA: true });
  for (let i = 0; i < d; i++)
    for (let j = 0; j <= i; j++) {
      const value = a0[i * d + j] + (a[i * d + j] + a[j * d + i]) / 2;
      a[i * d + j] = value;
      a[j * d + i] = value;
    }
  const c = linalg.invertSpd(a, d);
  const cross = { rows: targets.length, columns: d, data: linalg.matmul(y, k, { transposeA: true }) };
  return { c, delta: linalg.matmul(cross, { rows: d, columns: d, data: c }) };
}

/** λ²I + μ²w · moment, symmetrised: d × d. */
export function informationStart(moment: Float32Array, dimension: number, lambda: number, scale: number): Float64Array {
  const a = new Float64Array(dimension * dimension);
  for (let i = 0; i < dimension; i++) {
    for (let j = 0; j < dimension; j++)
      a[i * dimension + j] = (scale * (moment[i * dimension + j] + moment[j * dimension + i])) / 2;
    a[i * dimension + i] += lambda * lambda;
  }
  return a;
}

/** ‖actual − expected‖ / ‖expected‖, Frobenius. */
export function relativeError(actual: Float64Array, expected: Float64Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}
