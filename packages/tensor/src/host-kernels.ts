import type { Vectors } from './matrix-engine.js';

type Numbers = Float64Array | Float32Array;

/** Vectors handled together, so that an element of the matrix is loaded once for four of them. */
const GROUP = 4;

/**
 * out += A[:, 0..width) X[from.., :] for a row-major block of `rows` rows and leading dimension `stride`, and with
 * `mirror` also the transposed product of the first `mirror` columns: out[0..mirror) += A[:, 0..mirror)ᵀ X[row..].
 */
export function addProducts(
  block: { readonly data: Numbers; readonly rows: number; readonly stride: number; readonly firstRow: number },
  x: Vectors,
  out: Vectors,
  mirror: number,
): void {
  const { data, rows, stride, firstRow } = block;
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * stride, (i + 1) * stride);
    for (let c = 0; c < x.count; c++) {
      const from = c * x.length;
      const to = c * out.length;
      let sum = 0;
      if (mirror > 0) {
        const here = x.data[from + firstRow + i];
        for (let j = 0; j < mirror; j++) {
          sum += row[j] * x.data[from + j];
          out.data[to + j] += row[j] * here;
        }
      }
      for (let j = mirror; j < stride; j++) sum += row[j] * x.data[from + j];
      out.data[to + firstRow + i] += sum;
    }
  }
}

/** out += Aᵀ Y for a row-major A of `rows` rows. */
export function addTransposed(data: Numbers, rows: number, columns: number, y: Vectors, out: Vectors): void {
  for (let i = 0; i < rows; i++)
    for (let c = 0; c < y.count; c++) {
      const v = y.data[c * y.length + i];
      if (v === 0) continue;
      const to = c * columns;
      for (let j = 0; j < columns; j++) out.data[to + j] += data[i * columns + j] * v;
    }
}

/** row[0..width) += Σ_c weights[c] · g_c[0..width), summed in double precision and rounded once. */
export function addCombination(row: Numbers, width: number, weights: Float64Array, g: Vectors): void {
  const sum = new Float64Array(width);
  let c = 0;
  for (; c + GROUP <= g.count; c += GROUP) {
    const [w0, w1, w2, w3] = weights.subarray(c, c + GROUP);
    const g0 = g.data.subarray(c * g.length);
    const g1 = g.data.subarray((c + 1) * g.length);
    const g2 = g.data.subarray((c + 2) * g.length);
    const g3 = g.data.subarray((c + 3) * g.length);
    for (let j = 0; j < width; j++) sum[j] += w0 * g0[j] + w1 * g1[j] + (w2 * g2[j] + w3 * g3[j]);
  }
  for (; c < g.count; c++) {
    const w = weights[c];
    const column = g.data.subarray(c * g.length);
    for (let j = 0; j < width; j++) sum[j] += w * column[j];
  }
  for (let j = 0; j < width; j++) row[j] += sum[j];
}
