import type { Precision } from '@errata/tensor';
import type { InverseSource } from './anchor.js';
import { RlsError } from './errors.js';
import type { InversionOptions } from './inverse.js';
import type { ColumnPosition, Columns64, RowRange } from './notation.js';
import type { StartingDelta } from './starting-delta.js';

/**
 * λ_min(T) below which columns are taken out from the other side. A downdate magnifies what rounding left in KᵀCK by
 * 1/λ_min(T): the factors recorded in fp32 for a C in fp64, C itself for a C in fp32.
 */
export const REVOKE_LIMIT = 1e-3;
/**
 * The same for a share of C. It goes by the recorded G, rounded to fp32, whatever the precision of C: taking out a column
 * or a few moves W by some 1e-9/λ_min(T)² of its norm, which is 3e-6 here and was 4e-4 at 1.5e-3.
 */
const SHARE_REVOKE_LIMIT = 2e-2;

/** How a layer is held. */
export interface StateOptions {
  /** dₒ of the whole layer. */
  readonly outputs: number;
  /** Output rows held; all by default. */
  readonly rows?: RowRange;
  /** Columns a batch usually has, for the choice of `foldRank`. */
  readonly batch?: number;
  /** Columns of the tail at which it is folded; the cost model's choice by default. */
  readonly foldRank?: number;
  /** Where W starts when the anchor's values are given. */
  readonly anchor?: StartingDelta;
  /**
   * Deviation at which C is derived again from the keys, d³ operations; looked at every 64 batches where all of C is held.
   * By default 1e-6 where C is fp64 and 3e-5 where it is fp32, which is when W is about 1e-5 off
   * (`tools/long-stream.mjs`). What rounding to fp32 leaves right afterwards does not count.
   */
  readonly refreshDeviation?: number;
  /** What A₀ was made of, for a share of C: to derive it again takes all of A₀. */
  readonly source?: () => Promise<InverseSource>;
}

/** Products that a caller who holds only a share of C has summed over all shares. */
export interface ApplyOptions {
  /** Weight ω of each column; 1 by default. The update has keys scaled by √ω and rounded as the log records them. */
  readonly weights?: readonly number[];
  /** C K of the keys as given, d × u. */
  readonly product?: Columns64;
}

export interface RevokeOptions extends RefreshOptions {
  /** C K of the columns' keys. */
  readonly product?: Columns64;
  /** V − W K of the columns, where more rows than those held are wanted. */
  readonly residual?: Columns64;
}

export interface SupersedeOptions extends RefreshOptions {
  readonly weights?: readonly number[];
  /** C K of the columns taken out, and of those put in. */
  readonly products?: { readonly revoked: Columns64; readonly applied: Columns64 };
  /** V − W K of the columns taken out, where more rows than those held are wanted. */
  readonly residual?: Columns64;
}

/** Where C may be derived again, should it be needed, and who may stop that: the state is then as it was. */
export type RefreshOptions = InversionOptions;

/** What is watched at a precision of C. */
export interface Guard {
  /** A drop of tr C by this factor costs as many digits of C₀ − G Σ Gᵀ; then C is made anew from the keys. */
  readonly traceDrop: number;
  /** The same for one column: R² is the factor by which C shrinks along a key. */
  readonly stepDrop: number;
  /** λ_min(T) below which columns are taken out from the other side. */
  readonly revokeLimit: number;
  /** Largest relative difference between what the log has and what follows; another covariance or λ gives 1. */
  readonly logTolerance: number;
  readonly refreshDeviation: number;
}

const guards: Record<Precision, Guard> = {
  fp64: { traceDrop: 1e4, stepDrop: 1e6, revokeLimit: REVOKE_LIMIT, logTolerance: 1e-3, refreshDeviation: 1e-6 },
  fp32: {
    traceDrop: 10,
    stepDrop: Number.POSITIVE_INFINITY,
    revokeLimit: 1e-2,
    logTolerance: 2e-2,
    refreshDeviation: 3e-5,
  },
};

/** @param whole whether all of C is held */
export function guardOf(
  { precision, whole }: { readonly precision: Precision; readonly whole: boolean },
  refreshDeviation?: number,
): Guard {
  const guard = guards[precision];
  return {
    ...guard,
    revokeLimit: whole ? guard.revokeLimit : SHARE_REVOKE_LIMIT,
    refreshDeviation: refreshDeviation ?? guard.refreshDeviation,
  };
}

/** @throws RlsError UNKNOWN_COLUMN when a position is named twice, or none is */
export function checkDistinct(positions: readonly ColumnPosition[]): void {
  if (new Set(positions.map((p) => `${p.seq}/${p.column}`)).size !== positions.length || positions.length === 0)
    throw new RlsError('UNKNOWN_COLUMN', 'a revocation names at least one column, and each once');
}

/** @throws RlsError INVALID_TENSOR */
export function checkRange({ start, end }: RowRange, outputs: number): RowRange {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start < end && end <= outputs))
    throw new RlsError('INVALID_TENSOR', `rows ${start} to ${end} of ${outputs}`);
  return { start, end };
}
