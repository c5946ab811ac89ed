import { type LinearAlgebra, largestEigenvalue, TensorError } from '@errata/tensor';
import { asRows, inner, norm } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns64, Sign, Update } from './notation.js';

/** The right factor of an update with what it was made from. */
export interface RightFactor {
  readonly g: Columns64;
  /** Lower Cholesky factor of S (or T), u × u. */
  readonly r: Float64Array;
}

/**
 * G = F R⁻ᵀ with R Rᵀ = I ± KᵀF.
 *
 * @param f F = C K, d × u
 * @throws RlsError ILL_CONDITIONED when I ± KᵀF is not positive definite
 */
export function rightFactor(linalg: LinearAlgebra, keys: Columns64, f: Columns64, sign: Sign): RightFactor {
  const u = keys.count;
  const s = linalg.matmul(asRows(keys), asRows(f), { transposeB: true });
  for (let i = 0; i < u; i++)
    for (let j = 0; j <= i; j++) {
      const value = (sign * (s[i * u + j] + s[j * u + i])) / 2 + (i === j ? 1 : 0);
      s[i * u + j] = value;
      s[j * u + i] = value;
    }
  try {
    const r = linalg.cholesky(s, u);
    const g = linalg.solveLower(r, f.data, u, f.length);
    return { g: { length: f.length, count: u, data: g }, r };
  } catch (error) {
    if (!(error instanceof TensorError) || error.code !== 'ILL_CONDITIONED') throw error;
    throw new RlsError('ILL_CONDITIONED', `I ${sign > 0 ? '+' : '−'} KᵀCK: ${error.message}`);
  }
}

/**
 * The factor of columns to be taken out, from C' = the inverse without them: with S' = I + KᵀF', F' = C'K, it is
 * T = S'⁻¹, so R = U⁻ᵀ for S' = U Uᵀ (U upper), G = F R⁻ᵀ = F' R. Nothing cancels, however near T is to singular.
 *
 * @param f F' = C'K, d × u
 */
export function factorFromOtherSide(linalg: LinearAlgebra, keys: Columns64, f: Columns64): RightFactor {
  const u = keys.count;
  const { r: reversed } = rightFactor(linalg, reversedColumns(keys), reversedColumns(f), 1);
  const transposedU = new Float64Array(u * u);
  const identity = new Float64Array(u * u);
  for (let i = 0; i < u; i++) {
    identity[i * u + i] = 1;
    for (let j = 0; j <= i; j++) transposedU[i * u + j] = reversed[(u - 1 - j) * u + (u - 1 - i)];
  }
  const r = linalg.solveLower(transposedU, identity, u, u);
  const square = { rows: u, columns: u, data: r };
  return { g: { ...f, data: linalg.matmul(square, asRows(f), { transposeA: true }) }, r };
}

function reversedColumns(columns: Columns64): Columns64 {
  const { length, count } = columns;
  const data = new Float64Array(columns.data.length);
  for (let j = 0; j < count; j++)
    data.set(columns.data.subarray(j * length, (j + 1) * length), (count - 1 - j) * length);
  return { length, count, data };
}

/**
 * R of a recorded batch without a product by C: KᵀG = ±(R − R⁻ᵀ), so the strict lower part is R's and a diagonal
 * element m gives r − 1/r = m (1/r − r = m for a revocation).
 *
 * @param diagonal that of R where it was recorded
 */
export function recordedFactor(
  linalg: LinearAlgebra,
  keys: Columns64,
  g: Columns64,
  sign: Sign,
  diagonal?: readonly number[],
): Float64Array {
  const u = keys.count;
  const r = linalg.matmul(asRows(keys), asRows(g), { transposeB: true });
  for (let i = 0; i < u; i++) {
    const m = r[i * u + i];
    const root = Math.sqrt(m * m + 4);
    // The form that does not cancel: m is never negative but for rounding.
    r[i * u + i] = diagonal?.[i] ?? (sign > 0 ? (m + root) / 2 : 2 / (m + root));
    for (let j = 0; j < u; j++) {
      if (j > i) r[i * u + j] = 0;
      else if (j < i && sign < 0) r[i * u + j] = -r[i * u + j];
    }
  }
  return r;
}

/** λ_min(R Rᵀ) */
export function leastEigenvalue(linalg: LinearAlgebra, r: Float64Array, u: number): number {
  if (u === 1) return r[0] * r[0];
  const inverse = (x: Float64Array) => linalg.solveLower(r, linalg.solveLower(r, x, u, 1), u, 1, true);
  return 1 / largestEigenvalue(u, inverse);
}

/** B = ±E R⁻ᵀ, unless it is given, and the figures of the update. @param byInversion see {@link UpdateStats} */
export function completeUpdate(
  linalg: LinearAlgebra,
  keys: Columns64,
  residual: Columns64,
  factor: RightFactor,
  sign: Sign,
  given?: Float64Array,
  byInversion = false,
): Update {
  const u = keys.count;
  const { g, r } = factor;
  const solved = given ?? linalg.solveLower(r, residual.data, u, residual.length);
  const data = sign < 0 && given === undefined ? solved.map((x) => -x) : solved;
  const b: Columns64 = { length: residual.length, count: u, data };
  const gram = (columns: Columns64) => linalg.matmul(asRows(columns), asRows(columns), { transposeB: true });
  return {
    sign,
    keys,
    g,
    b,
    rDiagonal: Array.from({ length: u }, (_, i) => r[i * u + i]),
    stats: {
      keyNorm: norm(keys.data),
      residualNorm: norm(residual.data),
      updateNorm: Math.sqrt(Math.max(0, inner(gram(b), gram(g)))),
      lambdaMin: leastEigenvalue(linalg, r, u),
      byInversion,
    },
  };
}
