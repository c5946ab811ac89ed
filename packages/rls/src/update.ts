import { type LinearAlgebra, symmetricEigenvalues, TensorError } from '@errata/tensor';
import { asRows, inner, norm } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns64, Sign, Update } from './notation.js';

/** The right factor of an update with what it was made from. */
export interface RightFactor {
  readonly g: Columns64;
  /** Lower Cholesky factor of S (or T), u × u. */
  readonly r: Float64Array;
  /** S (or T), u × u. */
  readonly s: Float64Array;
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
    return { g: { length: f.length, count: u, data: g }, r, s };
  } catch (error) {
    if (!(error instanceof TensorError)) throw error;
    throw new RlsError('ILL_CONDITIONED', `I ${sign > 0 ? '+' : '−'} KᵀCK: ${error.message}`);
  }
}

/** B = ±E R⁻ᵀ and the figures of the update. */
export function completeUpdate(
  linalg: LinearAlgebra,
  keys: Columns64,
  residual: Columns64,
  factor: RightFactor,
  sign: Sign,
): Update {
  const u = keys.count;
  const { g, r, s } = factor;
  const data = linalg.solveLower(r, residual.data, u, residual.length);
  if (sign < 0) for (let i = 0; i < data.length; i++) data[i] = -data[i];
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
      lambdaMin: symmetricEigenvalues(s, u)[0],
    },
  };
}
