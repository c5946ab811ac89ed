import type { Panel } from '@errata/tensor';

/**
 * A state as it was after its last fold: the dense matrices, and what of its history the log does not have. With the log's
 * entries of the same batches it is the state again, bit for bit.
 */
export interface StateSnapshot {
  /** Batches in it. */
  readonly segments: number;
  /** Columns at which the tail was folded: it goes on with the same. */
  readonly foldRank: number;
  readonly trace: number;
  readonly storedDeviation: number;
  /** Largest difference met between the log and what follows from its keys. */
  readonly deviation: number;
  /** The lower panels of C that are held. */
  readonly panels: readonly Panel[];
  /** Δ, row-major, the rows held × d. */
  readonly change: Float64Array;
  /** V − W₀K of all columns that were put in, the rows held × n, in order. */
  readonly residuals: Float64Array;
  /** The diagonals of R of all batches, one behind the other. */
  readonly diagonals: Float64Array;
  /** λ_min of S (or T) of each batch. */
  readonly leastEigenvalues: Float64Array;
  /** Which batches, counted from 0, have other keys than the log: those of an import follow from its G, before any fp32. */
  readonly keyPlaces: Float64Array;
  /** Their keys, one behind the other. */
  readonly keys: Float64Array;
  /** For each column that was taken out, in order: which batch put it in, counted from 0, and as which of its columns. */
  readonly takes: Float64Array;
}
