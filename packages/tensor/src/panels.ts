import { checkFinite, checkLength, TensorError } from './errors.js';
import { type Panel, type Precision, panelRowsOf, type Share, type Vectors } from './matrix-engine.js';

export const WHOLE: Share = { index: 0, count: 1 };

/** Where a panel lies. */
export type PanelPlace = Omit<Panel, 'data'>;

/** The panels of a share in ascending order. @throws TensorError INVALID_TENSOR */
export function heldPanels(dimension: number, share: Share = WHOLE): readonly PanelPlace[] {
  checkSize('dimension', dimension);
  const { index, count } = share;
  if (!Number.isInteger(index) || !Number.isInteger(count) || index < 0 || index >= count)
    throw new TensorError('INVALID_TENSOR', `share ${index} of ${count}: the index runs from 0 to count − 1`);
  const panelRows = panelRowsOf(dimension);
  const places: PanelPlace[] = [];
  for (let p = index; p * panelRows < dimension; p += count) {
    const firstRow = p * panelRows;
    const rows = Math.min(panelRows, dimension - firstRow);
    places.push({ firstRow, rows, columns: firstRow + rows });
  }
  return places;
}

export function checkSize(what: string, size: number): void {
  if (!Number.isInteger(size) || size < 1)
    throw new TensorError('INVALID_TENSOR', `${what} ${size}: a whole number from 1 on is needed`);
}

/** @throws TensorError INVALID_TENSOR when the shape or a value is not usable */
export function checkPanel(panel: Panel, place: PanelPlace, precision: Precision = 'fp64'): void {
  const { firstRow, rows, columns } = place;
  if (panel.firstRow !== firstRow || panel.rows !== rows || panel.columns !== columns)
    throw new TensorError(
      'INVALID_TENSOR',
      `panel of rows ${panel.firstRow} + ${panel.rows}, ${panel.columns} columns given where rows ${firstRow} + ${rows}, ${columns} columns were asked for`,
    );
  checkLength(`panel at row ${firstRow}`, panel.data.length, rows, columns);
  const stored = precision === 'fp32' && panel.data instanceof Float64Array ? new Float32Array(panel.data) : panel.data;
  checkFinite(`panel at row ${firstRow}, in ${precision}`, stored);
}

/** @throws TensorError INVALID_TENSOR when the shape or a value is not usable */
export function checkVectors(what: string, x: Vectors, length: number, count = x.count): void {
  if (x.length !== length)
    throw new TensorError('INVALID_TENSOR', `${what}: vectors of length ${x.length} where ${length} is needed`);
  if (x.count !== count)
    throw new TensorError('INVALID_TENSOR', `${what}: ${x.count} vectors where ${count} are needed`);
  checkLength(what, x.data.length, length, x.count);
  checkFinite(what, x.data);
}

/** @throws TensorError INVALID_TENSOR */
export function checkFactors(factors: readonly number[], count: number): void {
  if (factors.length !== count)
    throw new TensorError('INVALID_TENSOR', `${factors.length} factors where ${count} are needed, one a vector`);
  checkFinite('factors', Float64Array.from(factors));
}

/** A quarter of the largest fp32, so that sums of two such numbers and their roundings stay finite. */
const FP32_LIMIT = 2 ** 126;

function largest(values: Float64Array | Float32Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

/**
 * Bounds what is added to an fp32 matrix before it is changed: an element of B F Gᵀ is a sum of b · factor · g.
 * @throws TensorError INVALID_TENSOR when elements or operands may not fit fp32
 */
export function checkUpdate(precision: Precision, b: Vectors, g: Vectors, factors: readonly number[] | null): void {
  if (precision === 'fp64') return;
  const left = largest(b.data);
  const right = b === g ? left : largest(g.data);
  const weight = factors === null ? b.count : factors.reduce((sum, f) => sum + Math.abs(f), 0);
  const reach = Math.max(left, right, left * right * weight, left * weight, right * weight);
  if (!(reach < FP32_LIMIT))
    throw new TensorError(
      'INVALID_TENSOR',
      `an update with numbers up to ${reach} does not fit single precision: scale it, or use fp64`,
    );
}

/** @throws TensorError INVALID_TENSOR when the rows do not lie within the matrix */
export function checkRows(first: number, count: number, rows: number): void {
  if (!Number.isInteger(first) || !Number.isInteger(count) || first < 0 || count < 0 || first + count > rows)
    throw new TensorError('INVALID_TENSOR', `rows ${first} + ${count} of a matrix of ${rows} rows`);
}

export function disposed(): TensorError {
  return new TensorError('INVALID_TENSOR', 'the matrix was disposed');
}

export function bytesPer(precision: Precision): number {
  return precision === 'fp64' ? 8 : 4;
}

export function allocate(precision: Precision, length: number): Float64Array | Float32Array {
  return precision === 'fp64' ? new Float64Array(length) : new Float32Array(length);
}

/** Makes the diagonal tile of a lower panel symmetric by its lower triangle. */
export function mirrorDiagonal(data: Float64Array | Float32Array, place: PanelPlace): void {
  const { firstRow, rows, columns } = place;
  for (let i = 1; i < rows; i++)
    for (let j = 0; j < i; j++) data[j * columns + firstRow + i] = data[i * columns + firstRow + j];
}
