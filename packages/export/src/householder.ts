import type { Pause } from '@errata/model';

/** A = Q R of a matrix of `rows` × `columns`, k = min(rows, columns): R k × columns column-major, Q applied on demand. */
export interface ThinQr {
  readonly r: Float64Array;
  readonly k: number;
  /** Q X for X of k × `count`, column-major: rows × count. */
  times(x: Float64Array, count: number): Float64Array;
}

/** Householder QR in fp64 (Golub & Van Loan, section 5.2). `a` is column-major and is overwritten. */
export async function thinQr(a: Float64Array, rows: number, columns: number, pause: Pause): Promise<ThinQr> {
  const k = Math.min(rows, columns);
  const scales = new Float64Array(k);
  for (let step = 0; step < k; step++) {
    const column = a.subarray(step * rows, (step + 1) * rows);
    let norm = 0;
    for (let i = step; i < rows; i++) norm += column[i] * column[i];
    norm = Math.sqrt(norm);
    if (norm === 0) continue;
    const alpha = column[step] > 0 ? -norm : norm;
    const head = column[step] - alpha;
    scales[step] = -head / alpha;
    for (let i = step + 1; i < rows; i++) column[i] /= head;
    column[step] = alpha;
    for (let other = step + 1; other < columns; other++)
      reflect(column, a.subarray(other * rows, (other + 1) * rows), step, scales[step]);
    await pause();
  }
  const r = new Float64Array(k * columns);
  for (let column = 0; column < columns; column++)
    for (let i = 0; i <= Math.min(column, k - 1); i++) r[column * k + i] = a[column * rows + i];
  return {
    r,
    k,
    times(x, count) {
      const out = new Float64Array(rows * count);
      for (let column = 0; column < count; column++) {
        const target = out.subarray(column * rows, (column + 1) * rows);
        target.set(x.subarray(column * k, (column + 1) * k));
        for (let step = k - 1; step >= 0; step--)
          reflect(a.subarray(step * rows, (step + 1) * rows), target, step, scales[step]);
      }
      return out;
    },
  };
}

/** target ← (I − scale · v vᵀ) target with v = (0, …, 1, column[step + 1], …). */
function reflect(column: Float64Array, target: Float64Array, step: number, scale: number): void {
  if (scale === 0) return;
  let sum = target[step];
  for (let i = step + 1; i < target.length; i++) sum += column[i] * target[i];
  sum *= scale;
  target[step] -= sum;
  for (let i = step + 1; i < target.length; i++) target[i] -= sum * column[i];
}
