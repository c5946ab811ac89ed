import { symmetricEigenvalues } from '@errata/tensor';
import { inner, norm } from './columns.js';

/** An estimate of the spectrum of an operator: `share` of its dimensions at each value. */
export interface SpectrumPoint {
  readonly value: number;
  readonly share: number;
}

/** A start without symmetry, so that it is orthogonal to no eigenvector of practical matrices. */
export function fixedStart(n: number, seed = 0): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => {
    const mixed = Math.imul((i + 1) ^ Math.imul(seed + 1, 0x9e3779b1), 0x85ebca6b);
    return ((mixed ^ (mixed >>> 13)) & 1) === 0 ? 1 : -1;
  });
}

/** Steps between two looks at whether the largest value still grows. */
const LOOK_EVERY = 6;

/**
 * Ritz values of a symmetric operator with their weights, ascending, by Lanczos iteration with full reorthogonalisation
 * (Golub & Van Loan, 10.1; the weights are those of stochastic Lanczos quadrature, Ubaru, Chen & Saad 2017). The extreme
 * values are estimates from within.
 * @param settled ends early when the largest value has grown by no more than this share in six steps
 */
export async function lanczosSpectrum(
  n: number,
  steps: number,
  start: Float64Array,
  apply: (x: Float64Array) => Promise<Float64Array>,
  settled = 0,
): Promise<SpectrumPoint[]> {
  const basis: Float64Array[] = [];
  const diagonal: number[] = [];
  const off: number[] = [];
  let next = start;
  let size = norm(start);
  let largest = 0;
  for (let step = 0; step < Math.min(n, steps); step++) {
    const v = next.map((x) => x / size);
    basis.push(v);
    const w = (await apply(v)).slice();
    diagonal.push(inner(v, w));
    for (let pass = 0; pass < 2; pass++)
      for (const b of basis) {
        const along = inner(b, w);
        for (let i = 0; i < n; i++) w[i] -= along * b[i];
      }
    next = w;
    size = norm(w);
    if (size <= 1e-12 * Math.abs(diagonal[0]) || size === 0) break;
    off.push(size);
    if (settled === 0 || (step + 1) % LOOK_EVERY !== 0) continue;
    const now = tridiagonalEigenvalues(diagonal, off.slice(0, -1))[step];
    if (now - largest <= settled * Math.abs(now)) break;
    largest = now;
  }
  return ritzPoints(diagonal, off.slice(0, diagonal.length - 1));
}

/** Ritz value θ weighs Πᵢ(θ − μᵢ) / Π(θ − θⱼ), μ the eigenvalues of the matrix without its first row and column. */
function ritzPoints(diagonal: readonly number[], off: readonly number[]): SpectrumPoint[] {
  const values = tridiagonalEigenvalues(diagonal, off);
  const inner = tridiagonalEigenvalues(diagonal.slice(1), off.slice(1));
  const shares = [...values].map((value, i) => {
    let share = 1;
    // Interlaced, so every factor pairs one of each and lies within [0, 1].
    for (let j = 0; j < values.length; j++) {
      if (j === i) continue;
      share *= Math.abs((value - inner[j < i ? j : j - 1]) / (value - values[j] || Number.MIN_VALUE));
    }
    return Number.isFinite(share) ? share : 0;
  });
  const total = shares.reduce((sum, share) => sum + share, 0);
  return [...values].map((value, i) => ({ value, share: shares[i] / total }));
}

function tridiagonalEigenvalues(diagonal: readonly number[], off: readonly number[]): Float64Array {
  const m = diagonal.length;
  const matrix = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    matrix[i * m + i] = diagonal[i];
    if (i + 1 < m) matrix[i * m + i + 1] = matrix[(i + 1) * m + i] = off[i];
  }
  return m === 0 ? matrix : symmetricEigenvalues(matrix, m);
}
