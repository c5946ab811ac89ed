import { findClaimed, loadAt, loadClaimed } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import { Prisma, type Stream } from './generated/client.js';
import { inheritanceOf, inheritedEdits } from './inherited.js';
import { lockStream } from './locks.js';
import type { ClaimedBatch, Store } from './types.js';

interface Candidate {
  readonly id: string;
  readonly ordinal: number;
  readonly key_hash: string;
  readonly target_hash: string;
  readonly importance: number;
  readonly adapter_id: string | null;
}

interface Written extends Omit<Candidate, 'adapter_id'> {
  readonly seq: number;
  readonly column: number;
}

/** A column of an earlier batch to be taken out, and the edit that comes in its place. */
export interface Removal {
  readonly editId: string;
  readonly seq: number;
  readonly column: number;
  readonly replacedBy: string | null;
}

/** Queued edits in order, of each key only the last; an adapter alone. */
async function candidatesOf(tx: Transaction, streamId: string, limit: number): Promise<Candidate[]> {
  const rows = await tx.$queryRaw<Candidate[]>`
    SELECT e.id, e.ordinal, e.key_hash, e.target_hash, e.importance, e.adapter_id FROM edits e
    WHERE e.stream_id = ${streamId} AND e.status = 'queued' AND NOT EXISTS (
      SELECT FROM edits l WHERE l.stream_id = e.stream_id AND l.key_hash = e.key_hash
        AND l.status = 'queued' AND l.ordinal > e.ordinal)
    ORDER BY e.ordinal LIMIT ${limit}`;
  const adapter = rows.findIndex((row) => row.adapter_id !== null);
  return adapter < 0 ? rows : rows.slice(0, Math.max(1, adapter));
}

/** Queued edits that a candidate overtakes end `superseded`. */
async function supersedeQueued(tx: Transaction, streamId: string, candidates: readonly Candidate[]): Promise<void> {
  const keys = candidates.map((candidate) => candidate.key_hash);
  const ids = candidates.map((candidate) => candidate.id);
  await tx.$executeRaw`
    UPDATE edits e SET status = 'superseded', reason = 'superseded by ' || c.id, updated_at = now()
    FROM unnest(${ids}::text[], ${keys}::text[]) AS c(id, key_hash)
    WHERE e.stream_id = ${streamId} AND e.key_hash = c.key_hash AND e.status = 'queued' AND e.id <> c.id`;
}

async function writtenByKey(
  tx: Transaction,
  stream: Stream,
  candidates: readonly Candidate[],
): Promise<Map<string, Written[]>> {
  const keys = candidates.map((candidate) => candidate.key_hash);
  const inheritance = await inheritanceOf(tx, stream);
  const inherited = inheritance
    ? Prisma.sql`UNION ALL SELECT id, ordinal, key_hash, target_hash, importance, seq, "column"
        FROM (${inheritedEdits(inheritance, Prisma.sql`e.key_hash = ANY(${keys})`)}) i WHERE status IN ('applied', 'verified')`
    : Prisma.empty;
  const rows = await tx.$queryRaw<Written[]>`
    SELECT id, ordinal, key_hash, target_hash, importance, seq, "column" FROM edits
    WHERE stream_id = ${stream.id} AND key_hash = ANY(${keys}) AND status IN ('applied', 'verified') AND seq IS NOT NULL
    ${inherited} ORDER BY ordinal`;
  const result = new Map<string, Written[]>();
  for (const row of rows) result.set(row.key_hash, [...(result.get(row.key_hash) ?? []), row]);
  return result;
}

/** Writes a revoke batch whose parent is the head. */
export async function writeRevoke(
  tx: Transaction,
  stream: Stream,
  removals: readonly Removal[],
  options: { joinedSeq: number | null; reason: string | null; revocationId?: string },
): Promise<number> {
  const streamId = stream.id;
  const seq = stream.nextSeq;
  await tx.batch.create({
    data: { streamId, seq, parentSeq: stream.head, kind: 'revoke', status: 'claimed', ...options },
  });
  await tx.batchEdit.createMany({
    data: removals.map((removal, column) => ({
      streamId,
      seq,
      column,
      editId: removal.editId,
      sourceSeq: removal.seq,
      sourceColumn: removal.column,
      replacedBy: removal.replacedBy,
    })),
  });
  return seq;
}

/** Writes an apply batch whose parent is the head, or the revoke batch that it brings along. */
export async function writeApply(
  tx: Transaction,
  stream: Stream,
  editIds: readonly string[],
  removals: readonly Removal[],
  of: { revocationId?: string } = {},
): Promise<number> {
  const streamId = stream.id;
  const revoke = removals.length > 0;
  const seq = stream.nextSeq + (revoke ? 1 : 0);
  if (revoke) await writeRevoke(tx, stream, removals, { joinedSeq: seq, reason: null, ...of });
  const parentSeq = revoke ? seq - 1 : stream.head;
  await tx.batch.create({ data: { streamId, seq, parentSeq, kind: 'apply', status: 'claimed', ...of } });
  await tx.batchEdit.createMany({
    data: editIds.map((editId, column) => ({ streamId, seq, column, editId })),
  });
  await tx.stream.update({ where: { id: streamId }, data: { nextSeq: seq + 1 } });
  return seq;
}

/** Whether an edit would write what is there: one that differs in its importance alone is written anew. */
function isRepeat(candidate: Candidate, old: Written): boolean {
  return candidate.target_hash === old.target_hash && candidate.importance === old.importance;
}

/** Edits to write now and the columns they replace; an edit whose target is in the weights already ends `rejected`. */
async function choose(
  tx: Transaction,
  stream: Stream,
  limit: number,
): Promise<{ candidates: Candidate[]; removals: Removal[] }> {
  for (;;) {
    const candidates = await candidatesOf(tx, stream.id, limit);
    if (candidates.length === 0) return { candidates: [], removals: [] };
    await supersedeQueued(tx, stream.id, candidates);
    const written = await writtenByKey(tx, stream, candidates);
    const repeats = candidates.flatMap((candidate) => {
      const olds = written.get(candidate.key_hash) ?? [];
      return olds.length === 1 && isRepeat(candidate, olds[0]) ? [{ candidate, old: olds[0] }] : [];
    });
    if (repeats.length === 0) {
      const removals = candidates.flatMap((candidate) =>
        (written.get(candidate.key_hash) ?? []).map(({ id, seq, column }) => ({
          editId: id,
          seq,
          column,
          replacedBy: candidate.id,
        })),
      );
      return { candidates, removals };
    }
    const values = repeats.map(({ candidate, old }) => Prisma.sql`(${candidate.id}, ${`the same as ${old.id}`})`);
    await tx.$executeRaw`
      UPDATE edits e SET status = 'rejected', reason = v.reason, updated_at = now()
      FROM (VALUES ${Prisma.join(values)}) AS v(id, reason) WHERE e.id = v.id`;
  }
}

/** Claims queued edits as the next batch of a stream that has none under way; null when there are none. */
export async function claimQueued(tx: Transaction, stream: Stream, limit: number): Promise<ClaimedBatch | null> {
  const { candidates, removals } = await choose(tx, stream, limit);
  if (candidates.length === 0) return null;
  const ids = candidates.map((candidate) => candidate.id);
  return loadAt(tx, stream.id, await writeApply(tx, stream, ids, removals));
}

export function claimRecords(db: Database): Pick<Store, 'claimBatch'> {
  return {
    claimBatch: (streamId, limit) =>
      db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const claimed = await findClaimed(tx, streamId);
        return claimed ? loadClaimed(tx, claimed) : claimQueued(tx, stream, limit);
      }),
  };
}
