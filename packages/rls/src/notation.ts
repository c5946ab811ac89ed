import type { Vectors, Vectors64 } from '@errata/tensor';

/**
 * Notation (docs/architecture.md, section 2; the paper is arXiv 2601.15686). Keys and values are columns.
 *
 *     d, dₒ     inputs and outputs of the edited layer                 u        columns of one batch
 *     W, W₀     weight now and at the start, dₒ × d                    Δ        W − W₀, dₒ × d
 *     K, V      keys d × u, values dₒ × u                              E        residual V − W K, dₒ × u
 *     A₀        λ²I + μ²K₀K₀ᵀ, d × d                                   C        (A₀ + Σ K Kᵀ)⁻¹, the inverse covariance
 *     S, T      I + KᵀCK and I − KᵀCK, u × u                           R        its lower Cholesky factor
 *     G, B      C K R⁻ᵀ (d × u) and ±E R⁻ᵀ (dₒ × u)                    Σ        diagonal of signs, + apply, − revoke
 *
 *     W = W₀ + B Gᵀ,   C = C₀ − G Σ Gᵀ     with the columns of all batches side by side
 *
 * A column of weight ω stands for ω equal ones: its key and residual are scaled by √ω, and the log has the scaled ones.
 */

/** Columns side by side: element (i, j) lies at j · length + i. Keys, values, residuals and factors have this shape. */
export type Columns = Vectors;

export type Columns64 = Vectors64;

/** +1 puts columns in, −1 takes recorded columns out. */
export type Sign = 1 | -1;

/** Where a column was put in: the batch and its place there. */
export interface ColumnPosition {
  readonly seq: number;
  readonly column: number;
}

/** What one batch did to a layer, as the log records it. */
export interface Segment {
  readonly seq: number;
  readonly sign: Sign;
  /** d × u. Left out for an imported adapter: they follow from G (imported.ts). */
  readonly keys?: Columns;
  /** dₒ × u, or only the rows that a state holds. */
  readonly b: Columns;
  /** d × u as recorded. States that hold all of C in fp64 compare it with the one they derive; the others need it. */
  readonly g?: Columns;
  /** Diagonal of R as recorded; taken from K and G where it is not given. */
  readonly rDiagonal?: readonly number[];
}

/** Figures of one update. */
export interface UpdateStats {
  readonly keyNorm: number;
  readonly residualNorm: number;
  /** ‖B Gᵀ‖, Frobenius. */
  readonly updateNorm: number;
  /** Smallest eigenvalue of S (or T). */
  readonly lambdaMin: number;
  /** Of a revocation: whether its factors came from C without the columns, inverted anew, rather than from a downdate. */
  readonly byInversion: boolean;
}

/** Output rows of a layer, `end` excluded. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/** Factors of one update: W ← W + B Gᵀ, C ← C ∓ G Gᵀ. */
export interface Update {
  readonly sign: Sign;
  /** d × u; for a revoke the keys taken out. */
  readonly keys: Columns64;
  readonly g: Columns64;
  readonly b: Columns64;
  readonly rDiagonal: readonly number[];
  readonly stats: UpdateStats;
}
