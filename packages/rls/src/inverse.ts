import { checkLength, type LinearAlgebra, largestEigenvalue, type Resident64, TensorError } from '@errata/tensor';
import { addInto, asRows, checkColumns } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns64 } from './notation.js';

/**
 * Largest condition number of A₀ that is worked with. fp64 inversion loses cond · 2⁻⁵³ of relative accuracy; beyond this
 * the promised 1e-5 would not hold with a margin of ten.
 */
export const CONDITION_LIMIT = 1e10;

/** What defines A₀ = λ²I + μ²K₀K₀ᵀ: the anchor keys themselves, or K₀K₀ᵀ ≈ w · (second moment of the inputs). */
export type InverseSource =
  | { readonly lambda: number; readonly mu: number; readonly anchorKeys: Columns64 }
  | {
      readonly lambda: number;
      readonly mu: number;
      readonly covarianceWeight: number;
      /** d × d, symmetric. */
      readonly moment: Float64Array | Float32Array;
      readonly dimension: number;
    };

/** The start of the recursion, shared by all streams with the same anchor. Owned by its creator until `dispose`. */
export interface InverseCovariance {
  readonly dimension: number;
  readonly lambda: number;
  readonly mu: number;
  /** A₀, d × d. */
  readonly a0: Resident64;
  /** C₀ = A₀⁻¹, d × d. */
  readonly c0: Resident64;
  /** λ_min(A₀), by Lanczos: from above, within about 1e-4. */
  readonly lambdaMin: number;
  readonly lambdaMax: number;
  /** λ_max(A₀) / λ_min(A₀) */
  readonly condition: number;
  /** tr C₀ */
  readonly trace: number;
  readonly bytes: number;
  dispose(): void;
}

function assemble(linalg: LinearAlgebra, source: InverseSource): { a: Float64Array; d: number } {
  const mu2 = source.mu * source.mu;
  let a: Float64Array;
  let d: number;
  if ('anchorKeys' in source) {
    d = source.anchorKeys.length;
    checkColumns('anchor keys', source.anchorKeys, d, source.anchorKeys.count);
    const rows = asRows(source.anchorKeys);
    a = linalg.matmul(rows, rows, { transposeA: true });
    for (let i = 0; i < a.length; i++) a[i] *= mu2;
  } else {
    d = source.dimension;
    checkLength('covariance', source.moment.length, d, d);
    checkColumns('covariance', { length: d, count: d, data: source.moment }, d, d);
    const weight = mu2 * source.covarianceWeight;
    a = Float64Array.from(source.moment, (x) => x * weight);
  }
  for (let i = 0; i < d; i++) {
    a[i * d + i] += source.lambda * source.lambda;
    for (let j = 0; j < i; j++) {
      const mean = (a[i * d + j] + a[j * d + i]) / 2;
      a[i * d + j] = mean;
      a[j * d + i] = mean;
    }
  }
  return { a, d };
}

/**
 * A₀ and its inverse in fp64, with its conditioning.
 * @throws RlsError INVALID_TENSOR; ILL_CONDITIONED when A₀ is singular or its condition number exceeds {@link CONDITION_LIMIT}
 */
export function createInverse(linalg: LinearAlgebra, source: InverseSource): InverseCovariance {
  const advice = 'use a larger λ, or a covariance from more tokens';
  const { a, d } = assemble(linalg, source);
  let c: Float64Array;
  try {
    c = linalg.invertSpd(a, d);
  } catch (error) {
    if (!(error instanceof TensorError)) throw error;
    throw new RlsError(error.code, `λ²I + μ²K₀K₀ᵀ cannot be inverted: ${error.message}; ${advice}`);
  }
  const a0 = linalg.upload(a, d, d);
  const c0 = linalg.upload(c, d, d);
  const dispose = () => {
    a0.dispose();
    c0.dispose();
  };
  const lambdaMax = largestEigenvalue(d, (x) => linalg.matmul(a0, { rows: d, columns: 1, data: x }));
  const lambdaMin = 1 / largestEigenvalue(d, (x) => linalg.matmul(c0, { rows: d, columns: 1, data: x }));
  const condition = lambdaMax / lambdaMin;
  if (!(lambdaMin > 0 && condition <= CONDITION_LIMIT)) {
    dispose();
    throw new RlsError(
      'ILL_CONDITIONED',
      `λ²I + μ²K₀K₀ᵀ has condition number ${condition.toExponential(1)}, above ${CONDITION_LIMIT.toExponential(0)}; ${advice}`,
    );
  }
  let trace = 0;
  for (let i = 0; i < d; i++) trace += c[i * d + i];
  return {
    dimension: d,
    lambda: source.lambda,
    mu: source.mu,
    a0,
    c0,
    lambdaMin,
    lambdaMax,
    condition,
    trace,
    bytes: a0.bytes + c0.bytes,
    dispose,
  };
}

/**
 * Weights at which the recursion starts when the anchor's values are given: (λ²W₀ + μ²V₀K₀ᵀ) A₀⁻¹ =
 * W₀ + μ²(V₀ − W₀K₀) K₀ᵀ C₀.
 *
 * @param weights W₀, dₒ × d row-major
 * @param anchorKeys K₀, d × n₀
 * @param anchorValues V₀, dₒ × n₀
 */
export function startingWeights(
  linalg: LinearAlgebra,
  inverse: InverseCovariance,
  weights: Float64Array,
  anchorKeys: Columns64,
  anchorValues: Columns64,
): Float64Array {
  const d = inverse.dimension;
  const outputs = anchorValues.length;
  checkLength('starting weights', weights.length, outputs, d);
  checkColumns('anchor values', anchorValues, outputs, anchorKeys.count);
  const base = { rows: outputs, columns: d, data: weights };
  // Added to W₀ rather than solved for, so that V₀ = W₀K₀ gives W₀ itself.
  const miss = anchorValues.data.slice();
  addInto(miss, linalg.matmul(asRows(anchorKeys), base, { transposeB: true }), -1);
  const cross = linalg.matmul({ rows: anchorKeys.count, columns: outputs, data: miss }, asRows(anchorKeys), {
    transposeA: true,
  });
  const change = linalg.matmul({ rows: outputs, columns: d, data: cross }, inverse.c0);
  return addInto(weights.slice(), change, inverse.mu ** 2);
}
