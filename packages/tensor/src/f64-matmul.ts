/** Rows of the second operand that stay in the first-level cache while rows of the first pass over them. */
const PANEL = 64;

/** Transpose of a row-major rows × columns matrix. */
export function transpose64(a: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  const tile = 32;
  for (let i0 = 0; i0 < rows; i0 += tile)
    for (let j0 = 0; j0 < columns; j0 += tile)
      for (let i = i0; i < Math.min(rows, i0 + tile); i++)
        for (let j = j0; j < Math.min(columns, j0 + tile); j++) out[j * rows + i] = a[i * columns + j];
  return out;
}

/** Σ a[i + k] b[j + k] for k < length. */
export function dot64(a: Float64Array, i: number, b: Float64Array, j: number, length: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k + 3 < length; k += 4) {
    s0 += a[i + k] * b[j + k];
    s1 += a[i + k + 1] * b[j + k + 1];
    s2 += a[i + k + 2] * b[j + k + 2];
    s3 += a[i + k + 3] * b[j + k + 3];
  }
  for (; k < length; k++) s0 += a[i + k] * b[j + k];
  return s0 + s1 + (s2 + s3);
}

/** A · B in plain JavaScript; A m × k, B k × n, row-major. */
export function matmul64(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let p0 = 0; p0 < k; p0 += PANEL) {
    const p1 = Math.min(k, p0 + PANEL);
    for (let i = 0; i < m; i++) {
      const row = i * n;
      let p = p0;
      for (; p + 3 < p1; p += 4) {
        const a0 = a[i * k + p];
        const a1 = a[i * k + p + 1];
        const a2 = a[i * k + p + 2];
        const a3 = a[i * k + p + 3];
        const b0 = p * n;
        const b1 = b0 + n;
        const b2 = b1 + n;
        const b3 = b2 + n;
        for (let j = 0; j < n; j++) out[row + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + (a2 * b[b2 + j] + a3 * b[b3 + j]);
      }
      for (; p < p1; p++) {
        const v = a[i * k + p];
        for (let j = 0; j < n; j++) out[row + j] += v * b[p * n + j];
      }
    }
  }
  return out;
}
