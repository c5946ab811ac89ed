import type { Pause } from '@errata/model';

/** Sweeps at most; well-behaved matrices take six to ten. */
const maxSweeps = 60;

/** Columns count as orthogonal below this cosine. */
const orthogonal = 1e-15;

/** M = U Σ Vᵀ with k = min(rows, columns) values, largest first: U rows × k and V columns × k, column-major. */
export interface Svd {
  readonly u: Float64Array;
  readonly values: Float64Array;
  readonly v: Float64Array;
}

/**
 * Singular values by one-sided Jacobi rotations in fp64 (Golub & Van Loan, section 8.6.3): small values are as exact as
 * large ones.
 * @param m rows × columns, column-major
 */
export async function jacobiSvd(m: Float64Array, rows: number, columns: number, pause: Pause): Promise<Svd> {
  if (rows < columns) {
    const { u, values, v } = await jacobiSvd(transposed(m, rows, columns), columns, rows, pause);
    return { u: v, values, v: u };
  }
  const work = Float64Array.from(m);
  const v = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) v[i * columns + i] = 1;
  for (let sweep = 0, rotated = true; rotated && sweep < maxSweeps; sweep++) {
    rotated = false;
    for (let p = 0; p < columns - 1; p++) {
      for (let q = p + 1; q < columns; q++) if (rotatePair(work, rows, v, columns, p, q)) rotated = true;
      await pause();
    }
  }
  return sorted(work, rows, v, columns);
}

function rotatePair(work: Float64Array, rows: number, v: Float64Array, columns: number, p: number, q: number): boolean {
  const left = work.subarray(p * rows, (p + 1) * rows);
  const right = work.subarray(q * rows, (q + 1) * rows);
  let [alpha, beta, gamma] = [0, 0, 0];
  for (let i = 0; i < rows; i++) {
    alpha += left[i] * left[i];
    beta += right[i] * right[i];
    gamma += left[i] * right[i];
  }
  if (gamma === 0 || Math.abs(gamma) <= orthogonal * Math.sqrt(alpha * beta)) return false;
  const zeta = (beta - alpha) / (2 * gamma);
  const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const c = 1 / Math.sqrt(1 + t * t);
  rotate(left, right, c, c * t);
  rotate(v.subarray(p * columns, (p + 1) * columns), v.subarray(q * columns, (q + 1) * columns), c, c * t);
  return true;
}

function rotate(left: Float64Array, right: Float64Array, c: number, s: number): void {
  for (let i = 0; i < left.length; i++) {
    const x = left[i];
    left[i] = c * x - s * right[i];
    right[i] = s * x + c * right[i];
  }
}

function sorted(work: Float64Array, rows: number, v: Float64Array, columns: number): Svd {
  const norms = Array.from({ length: columns }, (_, column) => {
    let sum = 0;
    for (let i = column * rows; i < (column + 1) * rows; i++) sum += work[i] * work[i];
    return Math.sqrt(sum);
  });
  const order = norms.map((_, column) => column).sort((a, b) => norms[b] - norms[a] || a - b);
  const u = new Float64Array(rows * columns);
  const right = new Float64Array(columns * columns);
  order.forEach((column, place) => {
    for (let i = 0; i < rows; i++)
      u[place * rows + i] = norms[column] === 0 ? 0 : work[column * rows + i] / norms[column];
    right.set(v.subarray(column * columns, (column + 1) * columns), place * columns);
  });
  return { u, values: Float64Array.from(order, (column) => norms[column]), v: right };
}

function transposed(m: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(m.length);
  for (let column = 0; column < columns; column++)
    for (let row = 0; row < rows; row++) out[row * columns + column] = m[column * rows + row];
  return out;
}
