/**
 * The change of one layer's down projection, Δ = B Gᵀ. Shapes: `d` inputs and `dₒ` outputs of the layer, `r` columns,
 * all matrices column-major. Signs of revocations are in B.
 */
export interface LayerFactors {
  readonly layer: number;
  /** d */
  readonly inputs: number;
  /** dₒ */
  readonly outputs: number;
  /** r */
  readonly rank: number;
  /** dₒ × r */
  readonly b: Float32Array;
  /** d × r */
  readonly g: Float32Array;
  /** Columns that take others out again, where that is known. */
  readonly removals?: number;
}

/** Columns of one batch, as the log records them. */
export interface FactorColumns {
  /** d × u */
  readonly g: { readonly rows: number; readonly columns: number; readonly data: Float32Array };
  /** dₒ × u */
  readonly b: { readonly rows: number; readonly columns: number; readonly data: Float32Array };
  readonly sign?: 1 | -1;
}

/** The columns of all batches of a layer, in their order, as one. */
export function joinFactors(
  layer: number,
  inputs: number,
  outputs: number,
  batches: readonly FactorColumns[],
): LayerFactors {
  const rank = batches.reduce((sum, { g }) => sum + g.columns, 0);
  const b = new Float32Array(outputs * rank);
  const g = new Float32Array(inputs * rank);
  let at = 0;
  for (const batch of batches) {
    b.set(batch.b.data, at * outputs);
    g.set(batch.g.data, at * inputs);
    at += batch.g.columns;
  }
  const removals = batches.reduce((sum, batch) => sum + (batch.sign === -1 ? batch.g.columns : 0), 0);
  return { layer, inputs, outputs, rank, b, g, removals };
}
