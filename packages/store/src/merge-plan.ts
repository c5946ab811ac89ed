import type { Edit, MergeConflict, MergeSkipReason, MergeStrategy } from '@errata/contracts';
import { editGist } from '@errata/contracts';
import { keyOf, saysTheSame } from './compare.js';

/** One stream as a merge sees it. */
export interface MergeSide {
  /** Edits in the weights at the head, and at the common position. */
  readonly live: readonly Edit[];
  readonly base: readonly Edit[];
}

/** What is known of earlier merges between the two. */
export interface EarlierMerges {
  /** Edits of the other stream that were written here by a merge which still counts. */
  readonly merged: ReadonlySet<string>;
  /** Edits of this stream, by id: what of the other's came from here. */
  readonly ownIds: ReadonlySet<string>;
}

export interface MergeOptions {
  readonly conflicts: MergeStrategy;
  readonly revocations: boolean;
}

/** What a merge does. */
export interface MergePlan {
  readonly conflicts: readonly MergeConflict[];
  /** Edits of the other stream to be written here again. */
  readonly edits: readonly Edit[];
  /** Edits here to be taken out. */
  readonly revocations: readonly Edit[];
  /** Edits of the other stream that are here already. */
  readonly present: number;
  /** Edits of the other stream that cannot be written here. */
  readonly skipped: readonly { readonly edit: Edit; readonly reason: MergeSkipReason }[];
}

function skipReason({ adapter, expiresAt }: Edit, now: Date): MergeSkipReason | null {
  if (adapter !== null) return 'adapter';
  return expiresAt !== null && Date.parse(expiresAt) <= now.getTime() ? 'expired' : null;
}

function byKey(edits: readonly Edit[]): Map<string, Edit> {
  return new Map(edits.map((edit) => [keyOf(edit), edit]));
}

/**
 * Compares what both streams did since their common position. An edit of the other stream is written here again unless it
 * is here; both sides having changed one key, or one having revoked what the other changed, is a conflict.
 * @param now edits that expired by then are left out
 */
export function planMerge(
  here: MergeSide,
  there: MergeSide,
  earlier: EarlierMerges,
  options: MergeOptions,
  now: Date,
): MergePlan {
  const hereLive = byKey(here.live);
  const thereLive = byKey(there.live);
  const base = byKey(there.base);
  const baseIds = new Set(there.base.map(({ id }) => id));
  const thereIds = new Set(there.live.map(({ id }) => id));
  const takeTheirs = options.conflicts === 'theirs';
  const conflicts: MergeConflict[] = [];
  const edits: Edit[] = [];
  const skipped: MergePlan['skipped'][number][] = [];
  let present = 0;

  for (const theirs of there.live) {
    if (baseIds.has(theirs.id)) continue;
    const key = keyOf(theirs);
    const ours = hereLive.get(key);
    const cameFromHere = theirs.mergedFrom !== null && earlier.ownIds.has(theirs.mergedFrom);
    if (cameFromHere || earlier.merged.has(theirs.id) || (ours && saysTheSame(ours, theirs))) {
      present++;
      continue;
    }
    const reason = skipReason(theirs, now);
    if (reason) {
      skipped.push({ edit: theirs, reason });
      continue;
    }
    const was = base.get(key);
    const kind = ours
      ? ours.id === was?.id || cameFromThere(ours, thereIds)
        ? null
        : 'target'
      : was
        ? 'revoked-here'
        : null;
    const against = ours ?? was;
    if (kind && against) conflicts.push({ kind, ours: editGist(against), theirs: editGist(theirs) });
    if (kind === null || takeTheirs) edits.push(theirs);
  }

  const revocations: Edit[] = [];
  for (const was of options.revocations ? there.base : []) {
    const key = keyOf(was);
    const ours = hereLive.get(key);
    if (thereLive.has(key) || !ours) continue;
    const changed = ours.id !== was.id && !saysTheSame(ours, was);
    if (changed) conflicts.push({ kind: 'revoked-there', ours: editGist(ours), theirs: editGist(was) });
    if (!changed || takeTheirs) revocations.push(ours);
  }
  return { conflicts, edits, revocations, present, skipped };
}

/** An edit here that an earlier merge took from there, where it has been replaced since: no change of this side's own. */
function cameFromThere(ours: Edit, liveThere: ReadonlySet<string>): boolean {
  return ours.mergedFrom !== null && !liveThere.has(ours.mergedFrom);
}
