import { checkFinite, type Operand64, TensorError } from '@errata/tensor';
import { RlsError } from './errors.js';
import type { Columns, Columns64 } from './notation.js';

/** Columns side by side are, read row-major, the rows of the transposed matrix. */
export function asRows(columns: Columns64): Operand64 & { readonly data: Float64Array } {
  return { rows: columns.count, columns: columns.length, data: columns.data };
}

export function toDouble(columns: Columns): Columns64 {
  const { data } = columns;
  return { ...columns, data: data instanceof Float64Array ? data : new Float64Array(data) };
}

/** @throws RlsError INVALID_TENSOR when the shape is another */
export function checkSize(what: string, columns: Columns, length: number, count: number): void {
  if (columns.length !== length || columns.count !== count)
    throw new RlsError(
      'INVALID_TENSOR',
      `${what}: ${columns.length} × ${columns.count}, but ${length} × ${count} is needed`,
    );
  if (columns.data.length !== length * count)
    throw new RlsError('INVALID_TENSOR', `${what}: ${columns.data.length} elements for ${length} × ${count}`);
}

/** Checks shape and values. @throws RlsError INVALID_TENSOR */
export function checkColumns(what: string, columns: Columns, length: number, count: number): void {
  checkSize(what, columns, length, count);
  try {
    checkFinite(what, columns.data);
  } catch (error) {
    if (error instanceof TensorError) throw new RlsError('INVALID_TENSOR', error.message);
    throw error;
  }
}

/** Frobenius norm. */
export function norm(values: Float64Array | Float32Array): number {
  let s = 0;
  for (let i = 0; i < values.length; i++) s += values[i] * values[i];
  return Math.sqrt(s);
}

/** Σ aᵢ bᵢ. */
export function inner(a: Float64Array, b: Float64Array): number {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i] * b[i];
  return s;
}

export function addInto(target: Float64Array, source: Float64Array, factor = 1): Float64Array {
  for (let i = 0; i < target.length; i++) target[i] += factor * source[i];
  return target;
}

/** Rows `start` to `end` of all columns; the same object where that is all of them. */
export function rowsOf(columns: Columns, start: number, end: number): Columns {
  if (start === 0 && end === columns.length) return columns;
  const length = end - start;
  const data =
    columns.data instanceof Float64Array
      ? new Float64Array(length * columns.count)
      : new Float32Array(length * columns.count);
  for (let j = 0; j < columns.count; j++)
    data.set(columns.data.subarray(j * columns.length + start, j * columns.length + end), j * length);
  return { length, count: columns.count, data };
}

/** Columns times one factor each. */
export function scaled(columns: Columns, factors: readonly number[]): Columns64 {
  const data = new Float64Array(columns.data);
  for (let i = 0; i < data.length; i++) data[i] *= factors[Math.floor(i / columns.length)];
  return { length: columns.length, count: columns.count, data };
}

/** The columns of all parts, in order. */
export function stacked(length: number, parts: readonly Columns[]): Columns64 {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const data = new Float64Array(length * count);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { length, count, data };
}

/** Columns picked from several sources, in order. */
export function gather(length: number, picks: readonly { from: Columns; column: number }[]): Columns64 {
  const data = new Float64Array(length * picks.length);
  picks.forEach(({ from, column }, i) => {
    data.set(from.data.subarray(column * length, (column + 1) * length), i * length);
  });
  return { length, count: picks.length, data };
}
