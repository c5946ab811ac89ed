import { invertSymmetric, type Panel, type SymmetricInverse } from '@errata/tensor';
import { type AnchorMatrix, anchorPanels, anchorSource, type InverseSource, roundedTo } from './anchor.js';
import { addInto, asRows } from './columns.js';
import { RlsError } from './errors.js';
import { type InverseCovariance, type InversionOptions, inversionOptions } from './inverse.js';
import type { Columns64 } from './notation.js';
import { streamedTimes } from './panel-products.js';
import type { RlsParts } from './parts.js';
import { keysOf, type Survivor } from './survivors.js';

/** Columns gone through at once where all of history is: bounds the copies. */
const BLOCK = 512;

/**
 * All panels of A₀ in fp64, those that other shares hold too.
 * @param source what A₀ was made of, for a share
 * @throws RlsError INVALID_TENSOR for a share whose source is not known
 */
export async function allAnchorPanels(
  { linalg }: RlsParts,
  { a0, lambda }: InverseCovariance,
  source: (() => Promise<InverseSource>) | undefined,
): Promise<AsyncIterable<Panel>> {
  if (a0.share.count === 1) return a0.panels();
  if (source === undefined)
    throw new RlsError('INVALID_TENSOR', 'a share of C can only be derived again with the source of A₀');
  return anchorPanels(roundedTo(anchorSource(linalg, await source()), a0.precision), lambda);
}

/** A X from all of A₀ and the keys of columns. */
export async function informationTimes(
  { linalg }: RlsParts,
  { a0 }: { readonly a0: Pick<AnchorMatrix, 'times'> },
  columns: readonly Survivor[],
  x: Columns64,
): Promise<Columns64> {
  const product = await a0.times(x);
  for (let at = 0; at < columns.length; at += BLOCK) {
    const keys = asRows(keysOf(columns.slice(at, at + BLOCK), x.length));
    const along = linalg.matmul(asRows(x), keys, { transposeB: true });
    addInto(product.data, linalg.matmul({ rows: x.count, columns: keys.rows, data: along }, keys));
  }
  return product;
}

/** A X in fp64 from all of A₀, whatever share of it is held. @throws RlsError INVALID_TENSOR as {@link allAnchorPanels} */
export async function allInformationTimes(
  parts: RlsParts,
  state: { readonly inverse: InverseCovariance; columns(): readonly Survivor[] },
  source: (() => Promise<InverseSource>) | undefined,
  x: Columns64,
): Promise<Columns64> {
  const panels = await allAnchorPanels(parts, state.inverse, source);
  const a0 = { times: (y: Columns64) => streamedTimes(parts.linalg, panels, y) };
  return informationTimes(parts, { a0 }, state.columns(), x);
}

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
  options: InversionOptions = {},
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
  return invertSymmetric(parts, { dimension, fill }, inversionOptions(dimension, options));
}
