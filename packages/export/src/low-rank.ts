import type { Pause } from '@errata/model';
import type { LayerFactors } from './factors.js';
import { thinQr } from './householder.js';
import { jacobiSvd } from './jacobi-svd.js';

/** Singular values below this share of the largest are rounding of the fp32 factors, not rank. */
const negligible = 1e-9;

export interface LowRank {
  readonly factors: LayerFactors;
  /** ‖Δ − Δ_k‖ / ‖Δ‖, Frobenius; 0 where the factors are those of the log. */
  readonly relativeError: number;
}

/**
 * The factors themselves while there are at most `maxRank` columns; else those of the best approximation of that rank
 * (Eckart–Young), from B = Q_B R_B, G = Q_G R_G and the singular values of R_B R_Gᵀ. Δ itself is never built: the largest
 * matrices are the factors. Both new factors carry √σ.
 */
export async function lowRank(factors: LayerFactors, maxRank: number, pause: Pause): Promise<LowRank> {
  const { inputs, outputs, rank } = factors;
  if (rank <= maxRank) return { factors, relativeError: 0 };
  const left = await thinQr(Float64Array.from(factors.b), outputs, rank, pause);
  const right = await thinQr(Float64Array.from(factors.g), inputs, rank, pause);
  const core = await productTransposed(left.r, left.k, right.r, right.k, rank, pause);
  const { u, values, v } = await jacobiSvd(core, left.k, right.k, pause);
  const total = sumOfSquares(values, 0);
  let kept = Math.min(maxRank, values.length);
  while (kept > 1 && values[kept - 1] <= negligible * values[0]) kept--;
  const rootOf = Float64Array.from(values.subarray(0, kept), Math.sqrt);
  const b = Float32Array.from(left.times(scaled(u, left.k, rootOf), kept));
  const g = Float32Array.from(right.times(scaled(v, right.k, rootOf), kept));
  return {
    factors: { ...factors, rank: kept, b, g },
    relativeError: total === 0 ? 0 : Math.sqrt(sumOfSquares(values, kept) / total),
  };
}

/** X Yᵀ of X m × r and Y n × r, column-major: m × n. */
async function productTransposed(
  x: Float64Array,
  m: number,
  y: Float64Array,
  n: number,
  r: number,
  pause: Pause,
): Promise<Float64Array> {
  const out = new Float64Array(m * n);
  for (let c = 0; c < r; c++) {
    for (let j = 0; j < n; j++) {
      const factor = y[c * n + j];
      if (factor === 0) continue;
      for (let i = 0; i < m; i++) out[j * m + i] += x[c * m + i] * factor;
    }
    await pause();
  }
  return out;
}

/** The first columns of a matrix of `rows` rows, each times its factor. */
function scaled(matrix: Float64Array, rows: number, factors: Float64Array): Float64Array {
  const out = new Float64Array(rows * factors.length);
  for (let column = 0; column < factors.length; column++)
    for (let i = 0; i < rows; i++) out[column * rows + i] = matrix[column * rows + i] * factors[column];
  return out;
}

function sumOfSquares(values: Float64Array, from: number): number {
  let sum = 0;
  for (let i = from; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}
