import type { EngineProfile } from '@errata/tensor';

/** What a layer and its batches are like. */
export interface BatchShape {
  /** d */
  readonly inputs: number;
  /** dₒ, the rows held. */
  readonly outputs: number;
  /** u */
  readonly batch: number;
  /** Part of C that is held: 1 / number of shares. */
  readonly share?: number;
}

/** The host where the engine has no fp64 to be measured: a few cores at a low estimate. */
const HOST: EngineProfile = { precision: 'fp64', matmulFlops: 2e10, copyBytes: 1e10, overhead: 1e-5 };
/** Rows of a panel; each is one operation. */
const PANEL_ROWS = 512;
/** Memory for the tail, as a part of a square C. */
const TAIL_SHARE = 0.1;
/** Columns a batch where nobody says. */
export const USUAL_BATCH = 32;

/**
 * Predicted seconds that a batch takes in `apply` and `append` together, averaged over a cycle from one fold to the
 * next: the products C K and Δ K with what is folded, those with half a full tail, and the batch's part of the fold.
 * An operation takes the longer of computing and moving bytes, besides the engine's overhead.
 *
 * @param foldRank columns of the tail at which it is folded
 * @param host the fp64 rates of the CPU, which holds the tail
 */
export function predictBatchSeconds(
  shape: BatchShape,
  profile: EngineProfile,
  foldRank: number,
  host: EngineProfile = HOST,
): number {
  const { inputs: d, outputs, batch: u, share = 1 } = shape;
  const element = profile.precision === 'fp64' ? 8 : 4;
  const panels = Math.ceil((d / PANEL_ROWS) * share);
  const seconds = (on: EngineProfile, flops: number, bytes: number, operations: number) =>
    Math.max(flops / on.matmulFlops, bytes / on.copyBytes) + operations * on.overhead;
  const stored = (d * d * share) / 2;
  const folded =
    seconds(profile, 4 * stored * u, element * stored, 2 * panels) +
    seconds(profile, 2 * d * outputs * u, element * d * outputs, 2);
  const tail = Math.max(0, (foldRank - u) / 2);
  const unfolded =
    tail === 0 ? 0 : seconds(host, 2 * u * tail * (3 * d + outputs), 2 * 8 * tail * (3 * d + outputs), 4);
  const fold =
    seconds(profile, 2 * stored * foldRank, 2 * element * stored, 2 * panels) +
    seconds(profile, 2 * d * outputs * foldRank, 2 * element * d * outputs, 2);
  return folded + unfolded + (fold * u) / foldRank;
}

/** The fold ranks that are considered: one batch, doubled up to d/2 as long as the tail stays below a tenth of C. */
export function foldRankCandidates(shape: BatchShape, element: number): readonly number[] {
  const { inputs: d, outputs, batch } = shape;
  const memory = (TAIL_SHARE * d * d * element) / (8 * (d + outputs));
  // A small layer's C is no measure: a tail of 16 MB is never in the way.
  const most = Math.min(d / 2, Math.max(memory, 2 ** 21 / (d + outputs)));
  const ranks = [batch];
  while (2 * ranks[ranks.length - 1] <= most) ranks.push(2 * ranks[ranks.length - 1]);
  return ranks;
}

/** The candidate with the least predicted time. */
export function chooseFoldRank(shape: BatchShape, profile: EngineProfile, host?: EngineProfile): number {
  const cost = (rank: number) => predictBatchSeconds(shape, profile, rank, host);
  return foldRankCandidates(shape, profile.precision === 'fp64' ? 8 : 4).reduce((best, rank) =>
    cost(rank) < cost(best) ? rank : best,
  );
}
