import type { Database } from './database.js';
import { positionHash } from './lineage.js';
import { ownershipOf } from './owners.js';
import type { SnapshotStore } from './snapshot-types.js';

interface Walked {
  /** Where a snapshot was found. */
  readonly found: number | null;
  /** The parent of the lowest batch looked at. */
  readonly below: number;
  readonly entries: number;
  readonly bytes: bigint | null;
}

export function replayCostRecords(db: Database): Pick<SnapshotStore, 'replayCost'> {
  // Looks back no further than the nearest snapshot: the cost of asking does not grow with the history.
  const walk = (owner: string, from: number, seq: number, kind: string) => db.prisma.$queryRaw<Walked[]>`
    WITH RECURSIVE walk(seq, parent_seq, found) AS (
      SELECT b.seq, b.parent_seq, EXISTS (SELECT FROM snapshots s WHERE s.stream_id = b.stream_id AND s.seq = b.seq AND s.kind = ${kind})
      FROM batches b WHERE b.stream_id = ${owner} AND b.seq = ${seq}
      UNION ALL
      SELECT b.seq, b.parent_seq, EXISTS (SELECT FROM snapshots s WHERE s.stream_id = b.stream_id AND s.seq = b.seq AND s.kind = ${kind})
      FROM walk w JOIN batches b ON b.stream_id = ${owner} AND b.seq = w.parent_seq
      WHERE NOT w.found AND w.parent_seq >= ${from})
    SELECT (SELECT w.seq FROM walk w WHERE w.found) AS found, (SELECT min(w.parent_seq) FROM walk w) AS below,
      count(e.seq)::int AS entries, sum(4::bigint * e.columns * (2 * e.d_in + e.row_end - e.row_start))::bigint AS bytes
    FROM walk w JOIN log_entries e ON e.stream_id = ${owner} AND e.seq = w.seq WHERE NOT w.found`;

  return {
    async replayCost(streamId, seq, kind) {
      await positionHash(db.prisma, streamId, seq);
      const ownership = await ownershipOf(db.prisma, streamId);
      let at = seq;
      let entries = 0;
      let bytes = 0;
      for (const { streamId: owner, from, to } of ownership?.owners ?? []) {
        if (at < from || at > to) continue;
        const [walked] = await walk(owner, from, at, kind);
        entries += walked.entries;
        bytes += Number(walked.bytes ?? 0);
        if (walked.found !== null) return { from: walked.found, entries, bytes };
        at = walked.below;
      }
      return { from: 0, entries, bytes };
    },
  };
}
