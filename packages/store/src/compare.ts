import type { Edit, StreamPosition } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import { lineageOf, positionHash } from './lineage.js';
import { unknownStream } from './locks.js';
import { ownershipOf } from './owners.js';
import { editKeyHash, targetHash } from './text.js';
import type { EditDiff, PositionRef, Store } from './types.js';

/** A batch wherever it is read from: branches of one stream name a shared one alike. */
interface Step {
  readonly owner: string;
  readonly seq: number;
}

interface History {
  readonly rootId: string;
  readonly steps: readonly Step[];
}

async function historyOf(tx: Transaction, { streamId, seq }: PositionRef): Promise<History> {
  const ownership = await ownershipOf(tx, streamId);
  if (!ownership) throw unknownStream(streamId);
  const seqs = await lineageOf(tx, streamId, seq);
  const { owners, rootId } = ownership;
  const steps = seqs.map((at) => ({
    owner: owners.find(({ from, to }) => from <= at && at <= to)?.streamId ?? '',
    seq: at,
  }));
  return { rootId, steps };
}

/** The last position that both build on, named as the first stream's; null for streams that share nothing. */
export async function commonPosition(
  tx: Transaction,
  from: PositionRef,
  to: PositionRef,
): Promise<StreamPosition | null> {
  const [a, b] = [await historyOf(tx, from), await historyOf(tx, to)];
  if (a.rootId !== b.rootId) return null;
  const equal = (i: number) => a.steps[i].seq === b.steps[i]?.seq && a.steps[i].owner === b.steps[i]?.owner;
  let shared = 0;
  while (shared < a.steps.length && equal(shared)) shared++;
  const seq = a.steps[shared - 1]?.seq ?? 0;
  return { streamId: from.streamId, seq, hash: await positionHash(tx, from.streamId, seq) };
}

/** What edits that speak of the same thing have in common. */
export function keyOf({ subject, prompt }: Pick<Edit, 'subject' | 'prompt'>): string {
  return editKeyHash(subject, prompt);
}

/** Whether two edits of one key write the same. */
export function saysTheSame(a: Edit, b: Edit): boolean {
  return targetHash(a.target) === targetHash(b.target) && a.importance === b.importance;
}

/** How the edits in the weights at one position differ from those at another. */
export function compareEdits(from: readonly Edit[], to: readonly Edit[]): EditDiff {
  // Of one key at most one edit is in the weights.
  const before = new Map(from.map((edit) => [keyOf(edit), edit]));
  const after = new Map(to.map((edit) => [keyOf(edit), edit]));
  const changed = [...before].flatMap(([key, edit]) => {
    const now = after.get(key);
    return now && !saysTheSame(edit, now) ? [{ from: edit, to: now }] : [];
  });
  const removed = [...before].flatMap(([key, edit]) => (after.has(key) ? [] : [edit]));
  const added = [...after].flatMap(([key, edit]) => (before.has(key) ? [] : [edit]));
  return { added, removed, changed, kept: before.size - removed.length - changed.length };
}

export function compareRecords(
  db: Database,
  { activeEdits }: Pick<Store, 'activeEdits'>,
): Pick<Store, 'commonPosition' | 'diffEdits'> {
  return {
    commonPosition: (from, to) => commonPosition(db.prisma, from, to),

    async diffEdits(from, to) {
      const before = await activeEdits(from.streamId, from.seq);
      return compareEdits(before, await activeEdits(to.streamId, to.seq));
    },
  };
}
