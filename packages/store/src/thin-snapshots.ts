import type { Database } from './database.js';
import { lineageOf } from './lineage.js';

/** What an entry costs to replay beside its tensors, as bytes of them: 0.1 ms where 150 MB are read and multiplied a second. */
const ENTRY_COST = 15_000;
/** Replay, in bytes, that nobody waits for: half a second. */
const NEAR_COST = 75e6;
/** Replay to a position, as a share of that from there to the head: who goes back far waits longer. */
const DISTANCE_SHARE = 0.5;

/** A snapshot on the lineage of a head. */
export interface PlacedSnapshot {
  /** Replay from the root to it, in bytes. */
  readonly at: number;
  /** The nearest below a head, a checkpoint or the beginning of a branch. */
  readonly needed: boolean;
}

/**
 * Which snapshots of one kind and form can go: replaying to any position then takes no longer than half a second, or half of
 * a replay from there to the head, unless it did before. So the number of those left grows with the logarithm of the log.
 * @param placed ascending @param end the replay from the root to the head @returns their places
 */
export function thinnable(placed: readonly PlacedSnapshot[], end: number): number[] {
  const gone: number[] = [];
  let below = 0;
  for (const [i, { at, needed }] of placed.entries()) {
    const above = placed.at(i + 1);
    const far = above !== undefined && above.at - below > Math.max(NEAR_COST, DISTANCE_SHARE * (end - above.at));
    if (needed || above === undefined || far) below = at;
    else gone.push(i);
  }
  return gone;
}

/** Positions of a stream's own rows that others hold on to: checkpoints, its branches and theirs, with their heads and checkpoints. */
async function rootsOf(db: Database, streamId: string): Promise<number[]> {
  const rows = await db.prisma.$queryRaw<{ seq: number }[]>`
    WITH RECURSIVE below(id, head, at) AS (
      SELECT id, head, origin_seq FROM streams WHERE origin_stream_id = ${streamId}
      UNION ALL
      SELECT s.id, s.head, LEAST(s.origin_seq, b.at) FROM streams s JOIN below b ON s.origin_stream_id = b.id)
    SELECT seq FROM checkpoints WHERE stream_id = ${streamId}
    UNION SELECT at FROM below
    UNION SELECT LEAST(head, at) FROM below
    UNION SELECT c.seq FROM checkpoints c JOIN below b ON c.stream_id = b.id WHERE c.seq <= b.at`;
  return rows.map(({ seq }) => seq);
}

/** Replay from below a stream's own rows to each of them along a lineage, in bytes. */
async function costsOf(db: Database, streamId: string, seqs: readonly number[]): Promise<Map<number, number>> {
  const rows = await db.prisma.$queryRaw<{ seq: number; cost: number }[]>`
    SELECT seq, sum(${ENTRY_COST}::float8 + 4::float8 * columns * (2 * d_in + row_end - row_start)) AS cost
    FROM log_entries WHERE stream_id = ${streamId} AND seq = ANY(${[...seqs]}) GROUP BY seq`;
  const own = new Map(rows.map(({ seq, cost }) => [seq, cost]));
  let sum = 0;
  return new Map(
    seqs.map((seq) => {
      sum += own.get(seq) ?? 0;
      return [seq, sum];
    }),
  );
}

/** Removes snapshots along the lineage of a head that others make up for. Those elsewhere go with their batches. @returns ids */
export async function thinSnapshots(db: Database, streamId: string, dryRun: boolean): Promise<string[]> {
  const kept = await db.prisma.snapshot.findMany({ where: { streamId }, orderBy: { seq: 'asc' } });
  const { head, originSeq } = await db.prisma.stream.findUniqueOrThrow({ where: { id: streamId } });
  if (kept.length < 2 || head === 0) return [];
  const lineage = (await lineageOf(db.prisma, streamId, head)).filter((seq) => seq > (originSeq ?? 0));
  const costs = await costsOf(db, streamId, lineage);
  const roots = await Promise.all(
    (await rootsOf(db, streamId)).map(async (seq) => {
      if (seq === 0 || costs.has(seq)) return seq;
      const own = await lineageOf(db.prisma, streamId, seq).catch(() => []);
      return own.filter((one) => costs.has(one)).at(-1) ?? 0;
    }),
  );
  const along = new Map<string, { id: string; seq: number; at: number }[]>();
  for (const { id, seq, kind, form } of kept) {
    const at = costs.get(seq);
    if (at === undefined) continue;
    const same = along.get(`${kind}/${form}`) ?? [];
    same.push({ id, seq, at });
    along.set(`${kind}/${form}`, same);
  }
  const gone: string[] = [];
  for (const same of along.values()) {
    const needed = new Set([head, ...roots].map((root) => same.findLast(({ seq }) => seq <= root)?.id));
    const placed = same.map(({ id, at }) => ({ at, needed: needed.has(id) }));
    gone.push(...thinnable(placed, costs.get(head) ?? 0).map((place) => same[place].id));
  }
  if (!dryRun) await db.prisma.snapshot.deleteMany({ where: { id: { in: gone } } });
  return gone;
}
