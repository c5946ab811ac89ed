import { checkFinite, type Operand64, TensorError } from '@errata/tensor';
import { RlsError } from './errors.js';
import type { Columns, Columns64 } from './notation.js';

/** Columns side by side are, read row-major, the rows of the transposed matrix. */
export function asRows(columns: Columns64): Operand64 & { readonly data: Float64Array } {
  return { rows: columns.count, columns: columns.length, data: columns.data };
}

export function toDouble(columns: Columns): Columns64 {
  const { data } = columns;
  return { ...columns, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** Checks shape and values. @throws RlsError INVALID_TENSOR */
export function checkColumns(what: string, columns: Columns, length: number, count: number): void {
  if (columns.length !== length || columns.count !== count)
    throw new RlsError(
      'INVALID_TENSOR',
      `${what}: ${columns.length} × ${columns.count}, but ${length} × ${count} is needed`,
    );
  if (columns.data.length !== length * count)
    throw new RlsError('INVALID_TENSOR', `${what}: ${columns.data.length} elements for ${length} × ${count}`);
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

/** Columns picked from several sources, in order. */
export function gather(length: number, picks: readonly { from: Columns; column: number }[]): Columns64 {
  const data = new Float64Array(length * picks.length);
  picks.forEach(({ from, column }, i) => {
    data.set(from.data.subarray(column * length, (column + 1) * length), i * length);
  });
  return { length, count: picks.length, data };
}

/** A matrix that grows by columns; doubling keeps the cost of a column constant. */
export class GrowingColumns {
  readonly #length: number;
  #data: Float64Array;
  #count = 0;

  constructor(length: number) {
    this.#length = length;
    this.#data = new Float64Array(length * 16);
  }

  get bytes(): number {
    return this.#data.byteLength;
  }

  append(columns: Columns64): void {
    const needed = (this.#count + columns.count) * this.#length;
    if (needed > this.#data.length) {
      const larger = new Float64Array(Math.max(needed, 2 * this.#data.length));
      larger.set(this.#data.subarray(0, this.#count * this.#length));
      this.#data = larger;
    }
    this.#data.set(columns.data, this.#count * this.#length);
    this.#count += columns.count;
  }

  truncate(count: number): void {
    this.#count = count;
  }

  view(): Columns64 {
    return {
      length: this.#length,
      count: this.#count,
      data: this.#data.subarray(0, this.#count * this.#length),
    };
  }
}
