import { invertSymmetric, type Panel, type SymmetricInverse } from '@errata/tensor';
import { asRows } from './columns.js';
import { RlsError } from './errors.js';
import { type InverseOptions, inversionOptions } from './inverse.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import { keysOf, type Survivor } from './survivors.js';

/** Columns whose products are added to a panel at once: bounds the copies. */
const BLOCK = 512;

/** into ← into + K_rows K_allᵀ for one lower panel. */
function addProducts(parts: RlsParts, panel: Panel & { readonly data: Float64Array }, keys: Columns64): void {
  const { firstRow, rows, columns, data } = panel;
  const cut = (from: number, to: number) => {
    const part = new Float64Array(keys.count * (to - from));
    for (let j = 0; j < keys.count; j++)
      part.set(keys.data.subarray(j * keys.length + from, j * keys.length + to), j * (to - from));
    return asRows({ length: to - from, count: keys.count, data: part });
  };
  const product = parts.linalg.matmul(cut(firstRow, firstRow + rows), cut(0, columns), { transposeA: true });
  for (let i = 0; i < product.length; i++) data[i] += product[i];
}

/**
 * C = (A₀ + K Kᵀ)⁻¹ in fp64 from the keys of columns: sums are stable where differences of large inverses are not.
 *
 * @param a0 all panels of A₀ in ascending order
 * @throws RlsError, TensorError ILL_CONDITIONED; TensorError OUT_OF_MEMORY; the signal's reason when aborted
 */
export async function inverseOfInformation(
  parts: RlsParts,
  dimension: number,
  a0: AsyncIterable<Panel>,
  columns: readonly Survivor[],
  options: Pick<InverseOptions, 'scratch' | 'signal' | 'onProgress'> = {},
): Promise<SymmetricInverse> {
  const panels = a0[Symbol.asyncIterator]();
  const fill = async (firstRow: number) => {
    const next = await panels.next();
    if (next.done || next.value.firstRow !== firstRow)
      throw new RlsError('INVALID_TENSOR', `the panel of A₀ at row ${firstRow} is missing`);
    const panel = { ...next.value, data: new Float64Array(next.value.data) };
    for (let at = 0; at < columns.length; at += BLOCK)
      addProducts(parts, panel, keysOf(columns.slice(at, at + BLOCK), dimension));
    return panel;
  };
  return invertSymmetric(parts, { dimension, fill }, inversionOptions(options));
}
