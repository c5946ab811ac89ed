/**
 * Brings the rows of each head into the order of the computation, where the pairs that are rotated together lie half a
 * head apart and the rows that are not rotated behind those of each half.
 * @param values [heads · head size, columns]
 * @param dimensions rows of a head that are rotated, the first ones
 */
export function orderRotaryRows(
  values: Float32Array,
  columns: number,
  headSize: number,
  dimensions: number,
  pairs: 'halves' | 'neighbours',
): void {
  if (pairs === 'halves' && dimensions === headSize) return;
  const targets = Array.from({ length: headSize }, (_, row) => rotaryTarget(row, headSize, dimensions, pairs));
  const head = new Float32Array(headSize * columns);
  for (let at = 0; at < values.length; at += head.length) {
    head.set(values.subarray(at, at + head.length));
    for (const [row, target] of targets.entries())
      values.set(head.subarray(row * columns, (row + 1) * columns), at + target * columns);
  }
}

function rotaryTarget(row: number, headSize: number, dimensions: number, pairs: 'halves' | 'neighbours'): number {
  const half = headSize / 2;
  const rotated = dimensions / 2;
  if (row >= dimensions) {
    const rest = row - dimensions;
    return rest < half - rotated ? rotated + rest : 2 * rotated + rest;
  }
  if (pairs === 'neighbours') return (row >> 1) + (row & 1) * half;
  return row < rotated ? row : half + row - rotated;
}

/** Multiplies all values. */
export function scale(values: Float32Array, factor: number): void {
  if (factor !== 1) for (let i = 0; i < values.length; i++) values[i] *= factor;
}

/** Multiplies each column of a matrix of rows as long as `factors`. */
export function scaleColumns(values: Float32Array, factors: Float32Array): void {
  const columns = factors.length;
  for (let at = 0; at < values.length; at += columns)
    for (let column = 0; column < columns; column++) values[at + column] *= factors[column];
}

/** Adds W · x to `out`, for W of rows as long as x. */
export function addProduct(out: Float32Array, matrix: Float32Array, x: Float32Array): void {
  const columns = x.length;
  for (let row = 0; row < out.length; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += matrix[row * columns + column] * x[column];
    out[row] += sum;
  }
}
