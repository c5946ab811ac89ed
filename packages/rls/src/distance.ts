import { setImmediate } from 'node:timers/promises';
import type { LinearAlgebra } from '@errata/tensor';
import { asRows, toDouble } from './columns.js';
import type { Columns } from './notation.js';

/** Rows computed between two looks at the signal: bounds what lies in memory besides the factors and their Gram matrices. */
const ROWS_AT_ONCE = 256;

/** Columns of a difference Σ ± B Gᵀ. */
export interface SignedFactors {
  /** +1 for the weights that are subtracted from, −1 for those subtracted. */
  readonly sign: 1 | -1;
  /** d_in × u */
  readonly g: Columns;
  /** d_out × u */
  readonly b: Columns;
}

/** Columns of all parts side by side, of B with their signs. */
function joined(
  parts: readonly SignedFactors[],
  which: 'g' | 'b',
): { rows: number; columns: number; data: Float64Array } {
  const columns = parts[0][which].length;
  const rows = parts.reduce((sum, part) => sum + part[which].count, 0);
  const data = new Float64Array(rows * columns);
  let at = 0;
  for (const part of parts) {
    const values = asRows(toDouble(part[which])).data;
    const factor = which === 'b' ? part.sign : 1;
    for (let i = 0; i < values.length; i++) data[at + i] = factor * values[i];
    at += values.length;
  }
  return { rows, columns, data };
}

/**
 * ‖Σ ± B Gᵀ‖ (Frobenius) in fp64. For r columns below d_in d_out / (d_in + d_out) from the Gram matrices,
 * ‖B Gᵀ‖² = Σᵢⱼ (BᵀB)ᵢⱼ (GᵀG)ᵢⱼ, r² (d_in + d_out) products; else from rows of B Gᵀ, r d_in d_out products. Neither
 * holds a d_out × d_in matrix.
 * @throws the signal's reason
 */
export async function changeNorm(
  linalg: LinearAlgebra,
  parts: readonly SignedFactors[],
  signal: AbortSignal,
): Promise<number> {
  if (parts.length === 0) return 0;
  const [g, b] = [joined(parts, 'g'), joined(parts, 'b')];
  const rank = g.rows;
  const few = rank * (g.columns + b.columns) < g.columns * b.columns;
  let sum = 0;
  for (let first = 0; first < (few ? rank : b.columns); first += ROWS_AT_ONCE) {
    signal.throwIfAborted();
    const last = first + ROWS_AT_ONCE;
    if (few) {
      const gram = linalg.matmul(rowsFrom(g, first, last), g, { transposeB: true });
      const other = linalg.matmul(rowsFrom(b, first, last), b, { transposeB: true });
      for (let i = 0; i < gram.length; i++) sum += gram[i] * other[i];
    } else {
      const block = linalg.matmul(columnsFrom(b, first, last), g, { transposeA: true });
      for (let i = 0; i < block.length; i++) sum += block[i] * block[i];
    }
    await setImmediate();
  }
  // Rounding may leave a sum of squares that cancel just below zero.
  return Math.sqrt(Math.max(0, sum));
}

interface RowMajor {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

function rowsFrom({ rows, columns, data }: RowMajor, first: number, last: number): RowMajor {
  const end = Math.min(last, rows);
  return { rows: end - first, columns, data: data.subarray(first * columns, end * columns) };
}

function columnsFrom({ rows, columns, data }: RowMajor, first: number, last: number): RowMajor {
  const end = Math.min(last, columns);
  const count = end - first;
  const out = new Float64Array(rows * count);
  for (let i = 0; i < rows; i++) out.set(data.subarray(i * columns + first, i * columns + end), i * count);
  return { rows, columns: count, data: out };
}
