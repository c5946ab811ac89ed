import type { Database, Transaction } from './database.js';
import { Prisma } from './generated/client.js';
import { assertSeq, positionCollected, unknownPosition } from './locks.js';
import { type Ownership, ownerOf, ownershipOf } from './owners.js';
import type { Store } from './types.js';

interface Walk {
  /** Ascending. */
  readonly seqs: number[];
  /** Where the walk ended: the parent of the lowest seq. */
  readonly below: number;
}

async function ownershipFor(tx: Transaction, streamId: string, seq: number): Promise<Ownership> {
  assertSeq(streamId, seq);
  const ownership = await ownershipOf(tx, streamId);
  if (!ownership) throw unknownPosition(streamId, seq, 'no such stream');
  return ownership;
}

/**
 * Committed batches from `seq` down through its ancestors, as long as they lie above `floor`, in whichever streams.
 * @throws ErrataError UNKNOWN_POSITION, POSITION_COLLECTED
 */
async function walk(
  tx: Transaction,
  streamId: string,
  { owners }: Ownership,
  seq: number,
  floor: number,
): Promise<Walk> {
  const pieces: number[][] = [];
  let at = seq;
  for (const { streamId: owner, from, to } of owners) {
    if (at < from || at > to || (at <= floor && pieces.length > 0)) continue;
    // From run to run: all batches between two turns have the one before as their parent.
    const bound = Math.max(floor, from - 1);
    const turn = (last: Prisma.Sql) => Prisma.sql`LEFT JOIN LATERAL (
      SELECT seq, parent_seq FROM batches
      WHERE stream_id = ${owner} AND seq <= ${last} AND seq > ${bound} AND parent_seq <> seq - 1
      ORDER BY seq DESC LIMIT 1) t ON true`;
    const runs = await tx.$queryRaw<{ first: number; last: number; below: number }[]>`
      WITH RECURSIVE runs(last, first, below) AS (
        SELECT b.seq, t.seq, t.parent_seq FROM batches b ${turn(Prisma.sql`b.seq`)}
        WHERE b.stream_id = ${owner} AND b.seq = ${at} AND b.status = 'committed'
        UNION ALL
        SELECT r.below, t.seq, t.parent_seq FROM runs r ${turn(Prisma.sql`r.below`)} WHERE r.below > ${bound})
      SELECT last, COALESCE(first, ${bound} + 1) AS first, COALESCE(below, ${bound}) AS below FROM runs ORDER BY last`;
    if (runs.length === 0) throw unknownPosition(streamId, at);
    if (at === seq) await assertKept(tx, owner, seq);
    pieces.unshift(runs.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)));
    at = runs[0].below;
  }
  if (pieces.length === 0) throw unknownPosition(streamId, seq);
  return { seqs: pieces.flat(), below: at };
}

/**
 * Of what lies at or below the point where a branch began, only the path to that point belongs to it.
 * @throws ErrataError UNKNOWN_POSITION
 */
async function assertInherited(tx: Transaction, streamId: string, ownership: Ownership, seq: number): Promise<void> {
  const { originSeq } = ownership;
  if (seq === 0 || seq >= originSeq) return;
  const { seqs } = await walk(tx, streamId, ownership, originSeq, seq - 1);
  if (seqs[0] !== seq)
    throw unknownPosition(streamId, seq, `the branch began at seq ${originSeq}, which does not build on it`);
}

/** @throws ErrataError POSITION_COLLECTED */
async function assertKept(tx: Transaction, streamId: string, seq: number): Promise<void> {
  const found = await tx.batch.count({ where: { streamId, seq, collectedAt: { not: null } } });
  if (found > 0) throw positionCollected(streamId, seq);
}

/** Keeps a position from being collected until the transaction ends. @throws ErrataError POSITION_COLLECTED */
export async function holdPosition(tx: Transaction, streamId: string, seq: number): Promise<void> {
  if (seq === 0) return;
  const owner = await ownerOf(tx, streamId, seq);
  const [row] = await tx.$queryRaw<{ collected: boolean }[]>`
    SELECT collected_at IS NOT NULL AS collected FROM batches WHERE stream_id = ${owner} AND seq = ${seq} FOR SHARE`;
  if (row?.collected) throw positionCollected(streamId, seq);
}

/** Seqs from the root to `seq`, ascending; none for 0. @throws ErrataError UNKNOWN_POSITION */
export async function lineageOf(tx: Transaction, streamId: string, seq: number): Promise<number[]> {
  if (seq === 0) return [];
  const ownership = await ownershipFor(tx, streamId, seq);
  await assertInherited(tx, streamId, ownership, seq);
  return (await walk(tx, streamId, ownership, seq, 0)).seqs;
}

/** The log's hash at a committed position; of 0, the genesis. @throws ErrataError UNKNOWN_POSITION, POSITION_COLLECTED, UNKNOWN_STREAM */
export async function positionHash(tx: Transaction, streamId: string, seq: number): Promise<string> {
  assertSeq(streamId, seq);
  const stream = await tx.stream.findUnique({ where: { id: streamId } });
  if (!stream) throw unknownPosition(streamId, seq, 'no such stream');
  if (seq === 0) return stream.genesisHash;
  if (seq === stream.head) return stream.headHash;
  if (seq < (stream.originSeq ?? 0)) await assertInherited(tx, streamId, await ownershipFor(tx, streamId, seq), seq);
  if (seq >= stream.nextSeq)
    throw unknownPosition(streamId, seq, `the future: the last seq given so far is ${stream.nextSeq - 1}`);
  const owner = seq > (stream.originSeq ?? 0) ? streamId : await ownerOf(tx, streamId, seq);
  const batch = await tx.batch.findUnique({
    where: { streamId_seq: { streamId: owner, seq } },
    select: { hash: true, collectedAt: true },
  });
  if (!batch?.hash) throw unknownPosition(streamId, seq);
  if (batch.collectedAt) throw positionCollected(streamId, seq);
  return batch.hash;
}

export function lineageRecords(db: Database): Pick<Store, 'lineage' | 'hashAt'> {
  return {
    async lineage(streamId, seq, knownUpTo = 0) {
      if (seq === 0) await positionHash(db.prisma, streamId, 0);
      if (seq === knownUpTo && knownUpTo > 0) await positionHash(db.prisma, streamId, seq);
      if (seq === knownUpTo) return { seqs: [], forked: false };
      if (seq > knownUpTo) {
        const ownership = await ownershipFor(db.prisma, streamId, seq);
        await assertInherited(db.prisma, streamId, ownership, seq);
        const { seqs, below } = await walk(db.prisma, streamId, ownership, seq, knownUpTo);
        if (below === knownUpTo) return { seqs, forked: false };
      }
      return { seqs: await lineageOf(db.prisma, streamId, seq), forked: true };
    },

    hashAt: (streamId, seq) => positionHash(db.prisma, streamId, seq),
  };
}
