import {
  checkLength,
  type LinearAlgebra,
  type MatrixEngine,
  type Panel,
  type Precision,
  panelRowsOf,
  type Share,
  type SymmetricMatrix,
} from '@errata/tensor';
import { checkColumns, toDouble } from './columns.js';
import type { Columns } from './notation.js';

/** What defines A₀ = λ²I + μ²K₀K₀ᵀ: the anchor keys themselves, or K₀K₀ᵀ ≈ w · (second moment of the inputs). */
export type InverseSource =
  | { readonly lambda: number; readonly mu: number; readonly anchorKeys: Columns }
  | {
      readonly lambda: number;
      readonly mu: number;
      readonly covarianceWeight: number;
      /** d × d, symmetric. */
      readonly moment: Float64Array | Float32Array;
      readonly dimension: number;
    };

/** A₀ = λ²I + scale · M, with M by lower panels. */
export interface AnchorSource {
  readonly dimension: number;
  readonly scale: number;
  /** In what M is exact. */
  readonly exact: Precision;
  /** Rows of M from `firstRow` on, to the end of the diagonal tile. */
  panel(firstRow: number, rows: number): Panel;
  /** M x on the host. */
  times(x: Float64Array): Float64Array;
}

/** A₀ where the engine computes; as a symmetric matrix that is never written to. */
export type AnchorMatrix = Pick<
  SymmetricMatrix,
  'dimension' | 'precision' | 'share' | 'panelRows' | 'bytes' | 'times' | 'panels' | 'dispose'
>;

/** @throws RlsError, TensorError INVALID_TENSOR */
export function anchorSource(linalg: LinearAlgebra, source: InverseSource): AnchorSource {
  if ('anchorKeys' in source) return keySource(linalg, source.anchorKeys, source.mu ** 2);
  const { moment, dimension: d } = source;
  checkLength('covariance', moment.length, d, d);
  checkColumns('covariance', { length: d, count: d, data: moment }, d, d);
  const single = moment instanceof Float32Array;
  return {
    dimension: d,
    scale: source.mu ** 2 * source.covarianceWeight,
    exact: single ? 'fp32' : 'fp64',
    panel(firstRow, rows) {
      const columns = firstRow + rows;
      const data = single ? new Float32Array(rows * columns) : new Float64Array(rows * columns);
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++)
          data[i * columns + j] = (moment[(firstRow + i) * d + j] + moment[j * d + firstRow + i]) / 2;
      return { firstRow, rows, columns, data };
    },
    times(x) {
      const y = new Float64Array(d);
      for (let i = 0; i < d; i++) {
        const row = moment.subarray(i * d, (i + 1) * d);
        const half = x[i] / 2;
        let sum = 0;
        for (let j = 0; j < d; j++) {
          sum += row[j] * x[j];
          y[j] += row[j] * half;
        }
        y[i] += sum / 2;
      }
      return y;
    },
  };
}

function keySource(linalg: LinearAlgebra, keys: Columns, scale: number): AnchorSource {
  const { length: d, count } = keys;
  checkColumns('anchor keys', keys, d, count);
  const { data } = toDouble(keys);
  const byRow = new Float64Array(data.length);
  for (let i = 0; i < d; i++) for (let j = 0; j < count; j++) byRow[i * count + j] = data[j * d + i];
  return {
    dimension: d,
    scale,
    exact: 'fp64',
    panel(firstRow, rows) {
      const columns = firstRow + rows;
      const own = { rows, columns: count, data: byRow.subarray(firstRow * count, columns * count) };
      const all = { rows: columns, columns: count, data: byRow.subarray(0, columns * count) };
      return { firstRow, rows, columns, data: linalg.matmul(own, all, { transposeB: true }) };
    },
    times(x) {
      const all = { rows: d, columns: count, data: byRow };
      const along = linalg.matmul({ rows: 1, columns: d, data: x }, all);
      return linalg.matmul({ rows: 1, columns: count, data: along }, all, { transposeB: true });
    },
  };
}

/** The same source with M rounded as a matrix of that precision holds it. */
export function roundedTo(source: AnchorSource, precision: Precision): AnchorSource {
  if (precision === 'fp64' || source.exact === 'fp32') return source;
  const panel = (firstRow: number, rows: number) => {
    const exact = source.panel(firstRow, rows);
    return { ...exact, data: new Float32Array(exact.data) };
  };
  return { ...source, exact: 'fp32', panel };
}

/** A panel of λ²I + scale · M in fp64. */
export function completePanel(panel: Panel, scale: number, lambda: number): Panel & { readonly data: Float64Array } {
  const data = Float64Array.from(panel.data, (x) => x * scale);
  for (let i = 0; i < panel.rows; i++) data[i * panel.columns + panel.firstRow + i] += lambda * lambda;
  return { ...panel, data };
}

/** All panels of A₀ in fp64, in ascending order. */
export async function* anchorPanels(source: AnchorSource, lambda: number): AsyncGenerator<Panel> {
  const step = panelRowsOf(source.dimension);
  for (let firstRow = 0; firstRow < source.dimension; firstRow += step)
    yield completePanel(source.panel(firstRow, Math.min(step, source.dimension - firstRow)), source.scale, lambda);
}

/** Puts M where the engine computes; λ² and the scale stay outside, so that fp32 storage keeps an fp32 M exactly. */
export async function anchorMatrix(
  engine: MatrixEngine,
  source: AnchorSource,
  lambda: number,
  precision: Precision,
  share: Share,
): Promise<AnchorMatrix> {
  const { dimension, scale } = source;
  const m = await engine.symmetric({ dimension, precision, share, fill: source.panel });
  return {
    dimension,
    precision,
    share,
    panelRows: m.panelRows,
    bytes: m.bytes,
    async times(x) {
      const product = await m.times(x);
      // The parts of all shares add up to the product, so only one of them has λ²X.
      const ridge = share.index === 0 ? lambda * lambda : 0;
      for (let i = 0; i < product.data.length; i++) product.data[i] = scale * product.data[i] + ridge * x.data[i];
      return product;
    },
    async *panels() {
      for await (const panel of m.panels()) yield completePanel(panel, scale, lambda);
    },
    dispose: () => m.dispose(),
  };
}
