import type { EngineProfile } from '@errata/tensor';

/** Sizes of a step that its least cost depends on. */
export interface StepShape {
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  readonly bytesPerElement: 4 | 8;
  /** Batches between two folds. */
  readonly foldPeriod: number;
}

/** Least time of a batch on a machine of given rates, and what was counted. */
export interface Floor {
  readonly flops: number;
  readonly bytes: number;
  readonly computeMs: number;
  readonly memoryMs: number;
  /** The larger of the two: as if arithmetic and memory traffic overlapped perfectly. */
  readonly floorMs: number;
}

/** What {@link stepFloor} counts, for people. */
export const FLOOR_COUNTS =
  'operations: 2d²u for C·K, d²u for the symmetric rank-u update of C, 2·d·dₒ·u each for Δ·K and the update of Δ; bytes: packed C (d(d+1)/2) and Δ (d·dₒ) read once a batch, and once a fold both read and written; floor = max(operations ÷ matmul rate, bytes ÷ copy bandwidth)';

/**
 * Floor of one batch of the recursion with symmetric storage. Left out, so that it stays a lower bound: S and its
 * Cholesky factor, the two triangular solves, what the unfolded tail adds to the product, conversions.
 */
export function stepFloor(shape: StepShape, rates: Pick<EngineProfile, 'matmulFlops' | 'copyBytes'>): Floor {
  const { dIn: d, dOut, batch: u, bytesPerElement, foldPeriod } = shape;
  const flops = 3 * d * d * u + 4 * d * dOut * u;
  const stored = (d * (d + 1)) / 2 + d * dOut;
  const bytes = bytesPerElement * (stored + (2 * stored) / foldPeriod);
  const computeMs = (1000 * flops) / rates.matmulFlops;
  const memoryMs = (1000 * bytes) / rates.copyBytes;
  return { flops, bytes, computeMs, memoryMs, floorMs: Math.max(computeMs, memoryMs) };
}
