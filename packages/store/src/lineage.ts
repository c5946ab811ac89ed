import type { Database, Transaction } from './database.js';
import { assertSeq, unknownPosition } from './locks.js';
import type { Store } from './types.js';

interface Walk {
  /** Ascending. */
  readonly seqs: number[];
  /** Where the walk ended: the parent of the lowest seq. */
  readonly below: number;
}

/**
 * Committed batches from `seq` down through its ancestors, as long as they lie above `floor`.
 * @throws ErrataError UNKNOWN_POSITION
 */
async function walk(tx: Transaction, streamId: string, seq: number, floor: number): Promise<Walk> {
  assertSeq(streamId, seq);
  const [row] = await tx.$queryRaw<{ seqs: number[] | null; below: number | null }[]>`
    WITH RECURSIVE walk(seq, parent_seq) AS (
      SELECT seq, parent_seq FROM batches WHERE stream_id = ${streamId} AND seq = ${seq} AND status = 'committed'
      UNION ALL
      SELECT b.seq, b.parent_seq FROM walk w
      JOIN batches b ON b.stream_id = ${streamId} AND b.seq = w.parent_seq
      WHERE w.parent_seq > ${floor})
    SELECT array_agg(seq ORDER BY seq) AS seqs, min(parent_seq) AS below FROM walk`;
  if (!row?.seqs || row.below === null) throw unknownPosition(streamId, seq);
  return { seqs: row.seqs, below: row.below };
}

/** Seqs from the root to `seq`, ascending; none for 0. @throws ErrataError UNKNOWN_POSITION */
export async function lineageOf(tx: Transaction, streamId: string, seq: number): Promise<number[]> {
  return seq === 0 ? [] : (await walk(tx, streamId, seq, 0)).seqs;
}

/** The log's hash at a committed position; of 0, the genesis. @throws ErrataError UNKNOWN_POSITION, UNKNOWN_STREAM */
export async function positionHash(tx: Transaction, streamId: string, seq: number): Promise<string> {
  assertSeq(streamId, seq);
  if (seq === 0) {
    const stream = await tx.stream.findUnique({ where: { id: streamId }, select: { genesisHash: true } });
    if (!stream) throw unknownPosition(streamId, seq, 'no such stream');
    return stream.genesisHash;
  }
  const batch = await tx.batch.findUnique({ where: { streamId_seq: { streamId, seq } }, select: { hash: true } });
  if (!batch?.hash) throw unknownPosition(streamId, seq);
  return batch.hash;
}

export function lineageRecords(db: Database): Pick<Store, 'lineage' | 'hashAt'> {
  return {
    async lineage(streamId, seq, knownUpTo = 0) {
      if (seq === 0) await positionHash(db.prisma, streamId, 0);
      if (seq === knownUpTo && knownUpTo > 0) await positionHash(db.prisma, streamId, seq);
      if (seq === knownUpTo) return { seqs: [], forked: false };
      if (seq > knownUpTo) {
        const { seqs, below } = await walk(db.prisma, streamId, seq, knownUpTo);
        if (below === knownUpTo) return { seqs, forked: false };
      }
      return { seqs: await lineageOf(db.prisma, streamId, seq), forked: true };
    },

    hashAt: (streamId, seq) => positionHash(db.prisma, streamId, seq),
  };
}
