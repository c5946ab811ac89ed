import { ErrataError } from '@errata/contracts';
import type { MatrixOf } from '@errata/rpc';

/** Most columns of one update: a batch, or what is taken out together. */
export const maxColumns = 4096;

/** @throws ErrataError INVALID_TENSOR naming the shape that is needed, or the row and column of a NaN or infinity */
export function checkMatrix(
  name: string,
  matrix: MatrixOf<Float32Array | Float64Array>,
  rows: number,
  columns: number,
): void {
  if (matrix.rows !== rows || matrix.columns !== columns)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${name}: ${matrix.rows} × ${matrix.columns}, but the layer needs ${rows} × ${columns}`,
    );
  const at = matrix.data.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${name}: row ${at % rows}, column ${Math.floor(at / rows)} is ${matrix.data[at]}, not a finite number`,
    );
}

/** @throws ErrataError INVALID_TENSOR when a batch has no columns, PAYLOAD_TOO_LARGE above {@link maxColumns} */
export function checkColumnCount(count: number): void {
  if (count === 0) throw new ErrataError('INVALID_TENSOR', 'a batch has at least one column');
  if (count > maxColumns)
    throw new ErrataError('PAYLOAD_TOO_LARGE', `${count} columns at once, above the limit of ${maxColumns}`);
}

/** @throws ErrataError INVALID_TENSOR unless there is one positive weight a column, or none at all */
export function checkWeights(weights: readonly number[], columns: number): void {
  if (weights.length !== 0 && weights.length !== columns)
    throw new ErrataError('INVALID_TENSOR', `weights: ${weights.length} for ${columns} columns`);
  const at = weights.findIndex((weight) => !(weight > 0 && Number.isFinite(weight)));
  if (at >= 0)
    throw new ErrataError('INVALID_TENSOR', `weights: column ${at} has ${weights[at]}, not a positive number`);
}
