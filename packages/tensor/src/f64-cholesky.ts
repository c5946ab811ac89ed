import { TensorError } from './errors.js';
import { dot64, transpose64 } from './f64-matmul.js';

/** Columns factored together: 64 rows of a factor of dimension 1536 fit the second-level cache. */
const BLOCK = 64;

/** Throws for a pivot that is not a positive number; TensorFlow's kernels yield NaN there instead of failing. */
export function notPositiveDefinite(index: number, pivot: number, n: number): TensorError {
  return new TensorError(
    'ILL_CONDITIONED',
    `the ${n} × ${n} matrix is not numerically positive definite: pivot ${index} is ${pivot}`,
  );
}

/** Lower Cholesky factor in plain JavaScript, left-looking by blocks of columns. @throws TensorError ILL_CONDITIONED */
export function cholesky64(a: Float64Array, n: number): Float64Array {
  const l = new Float64Array(n * n);
  for (let j0 = 0; j0 < n; j0 += BLOCK) {
    const j1 = Math.min(n, j0 + BLOCK);
    for (let i = j0; i < n; i++)
      for (let j = j0; j < Math.min(j1, i + 1); j++) l[i * n + j] = a[i * n + j] - dot64(l, i * n, l, j * n, j0);
    for (let i = j0; i < n; i++) {
      for (let j = j0; j < Math.min(j1, i); j++)
        l[i * n + j] = (l[i * n + j] - dot64(l, i * n + j0, l, j * n + j0, j - j0)) / l[j * n + j];
      if (i < j1) {
        const pivot = l[i * n + i] - dot64(l, i * n + j0, l, i * n + j0, i - j0);
        if (!(pivot > 0) || !Number.isFinite(pivot)) throw notPositiveDefinite(i, pivot, n);
        l[i * n + i] = Math.sqrt(pivot);
      }
    }
  }
  return l;
}

/** X with L X = B (or Lᵀ X = B); L lower n × n, B n × columns. */
export function solveLower64(
  l: Float64Array,
  b: Float64Array,
  n: number,
  columns: number,
  transpose: boolean,
): Float64Array {
  const x = b.slice();
  const eliminate = (i: number, k: number, factor: number) => {
    if (factor === 0) return;
    const to = i * columns;
    const from = k * columns;
    for (let c = 0; c < columns; c++) x[to + c] -= factor * x[from + c];
  };
  const divide = (i: number) => {
    const d = l[i * n + i];
    for (let c = 0; c < columns; c++) x[i * columns + c] /= d;
  };
  if (!transpose)
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) eliminate(i, k, l[i * n + k]);
      divide(i);
    }
  else
    for (let i = n - 1; i >= 0; i--) {
      divide(i);
      for (let k = 0; k < i; k++) eliminate(k, i, l[i * n + k]);
    }
  return x;
}

/** (L Lᵀ)⁻¹ = XᵀX with X = L⁻¹, using that X is lower. */
export function invertFromCholesky64(l: Float64Array, n: number): Float64Array {
  const x = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) {
      const factor = l[i * n + k];
      for (let c = 0; c <= k; c++) x[i * n + c] -= factor * x[k * n + c];
    }
    const d = 1 / l[i * n + i];
    for (let c = 0; c < i; c++) x[i * n + c] *= d;
    x[i * n + i] = d;
  }
  const xt = transpose64(x, n, n);
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = i; j < n; j++) {
      const v = dot64(xt, i * n + j, xt, j * n + j, n - j);
      out[i * n + j] = v;
      out[j * n + i] = v;
    }
  return out;
}
