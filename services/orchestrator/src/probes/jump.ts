import type { LayerDrift } from '@errata/contracts';

/** How much more than before a batch has to move a layer, for the root of its edits, to be looked at more closely. */
const JUMP = 1.5;
/** Edits before which there is no level to compare with: the first ones move a lot. */
const LEAST_RANK = 4;

/**
 * Whether a batch did more than its like: independent directions add up as the root of their number, so for edits that are alike
 * the norms over that root stay level. Costs nothing, since the drift is measured anyway.
 */
export function hasJumped(before: readonly LayerDrift[], after: readonly LayerDrift[]): boolean {
  const level = (value: number, { rank }: LayerDrift) => value / Math.sqrt(rank);
  return after.some((now) => {
    const then = before.find((one) => one.layer === now.layer);
    if (then === undefined || then.rank < LEAST_RANK) return false;
    return (['deltaNorm', 'anchorDeviation'] as const).some(
      (figure) => level(now[figure], now) > JUMP * level(then[figure], then),
    );
  });
}
