import { TensorError } from './errors.js';

/** QL sweeps an eigenvalue may take; two or three are usual. */
const MAX_SWEEPS = 60;

/** Householder reduction of a symmetric n × n matrix to tridiagonal form (Golub & Van Loan, 8.3.1). */
function tridiagonalize(symmetric: Float64Array, n: number): { diagonal: Float64Array; off: Float64Array } {
  const a = symmetric.slice();
  const diagonal = new Float64Array(n);
  const off = new Float64Array(n);
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    let scale = 0;
    for (let i = k + 1; i < n; i++) scale = Math.max(scale, Math.abs(a[i * n + k]));
    if (scale === 0) continue;
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm += (a[i * n + k] / scale) ** 2;
    norm = scale * Math.sqrt(norm);
    const head = a[(k + 1) * n + k];
    const alpha = head > 0 ? -norm : norm;
    let vv = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = (i === k + 1 ? head - alpha : a[i * n + k]) / scale;
      vv += v[i] * v[i];
    }
    const beta = 2 / vv;
    let pv = 0;
    for (let i = k + 1; i < n; i++) {
      let s = 0;
      for (let j = k + 1; j < n; j++) s += a[i * n + j] * v[j];
      p[i] = beta * s;
      pv += p[i] * v[i];
    }
    const half = (beta * pv) / 2;
    for (let i = k + 1; i < n; i++) p[i] -= half * v[i];
    for (let i = k + 1; i < n; i++) for (let j = k + 1; j < n; j++) a[i * n + j] -= v[i] * p[j] + p[i] * v[j];
    a[(k + 1) * n + k] = alpha;
  }
  for (let i = 0; i < n; i++) {
    diagonal[i] = a[i * n + i];
    if (i > 0) off[i - 1] = a[i * n + i - 1];
  }
  return { diagonal, off };
}

/** Eigenvalues of a symmetric tridiagonal matrix by implicit QL with Wilkinson shifts; overwrites its arguments. */
function implicitQl(d: Float64Array, e: Float64Array): void {
  const n = d.length;
  // Householder leaves errors of this size everywhere; without the floor a cluster at zero would never split.
  let floor = 0;
  for (let i = 0; i < n; i++) floor = Math.max(floor, Number.EPSILON * (Math.abs(d[i]) + Math.abs(e[i])));
  for (let l = 0; l < n; l++)
    for (let sweep = 0; ; sweep++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]) > floor) m++;
      if (m === l) break;
      if (sweep === MAX_SWEEPS) throw new TensorError('ILL_CONDITIONED', 'the eigenvalue iteration did not converge');
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      let r = Math.hypot(g, 1);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
}

/**
 * All eigenvalues of a symmetric n × n matrix, ascending, to a few ulps of the largest. O(n³): meant for n ≤ about 1000.
 * @throws TensorError INVALID_TENSOR for NaN or infinity
 */
export function symmetricEigenvalues(a: Float64Array, n: number): Float64Array {
  if (!a.every(Number.isFinite))
    throw new TensorError('INVALID_TENSOR', 'eigenvalues of a matrix with NaN or infinity');
  const { diagonal, off } = tridiagonalize(a, n);
  implicitQl(diagonal, off);
  return diagonal.sort();
}
