import type pg from 'pg';
import type { Database } from './database.js';
import { isRestrictViolation } from './errors.js';
import { unknownStream } from './locks.js';

/** Batches of one transaction: their tensors are some tens of megabytes, and an edit waits no longer than for their removal. */
const BATCHES_AT_ONCE = 64;

interface BatchOptions {
  /** What has been off every lineage since before is removed. */
  readonly before: Date;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface CollectedBatches {
  readonly batches: number;
  readonly entries: number;
  readonly entryBytes: number;
  /** Ids. */
  readonly snapshots: readonly string[];
}

/**
 * Batches, the latest first, that no root reaches. Roots are the head, checkpoints, where branches begin, what a claimed
 * batch builds on, and whatever was the head within the retention: it was left by a rollback, which says from where, or
 * something was committed on it, which is a root itself.
 */
const CANDIDATES = `
  WITH RECURSIVE roots(seq) AS (
    SELECT head FROM streams WHERE id = $1
    UNION SELECT seq FROM checkpoints WHERE stream_id = $1
    UNION SELECT origin_seq FROM streams WHERE origin_stream_id = $1
    UNION SELECT parent_seq FROM batches WHERE stream_id = $1 AND status = 'claimed'
    UNION SELECT seq FROM batches WHERE stream_id = $1 AND status = 'committed' AND committed_at >= $2
    UNION SELECT (detail->>'from')::int FROM events WHERE stream_id = $1 AND kind = 'rollback' AND at >= $2
  ), kept(seq) AS (
    SELECT seq FROM roots
    UNION
    SELECT b.parent_seq FROM kept k JOIN batches b ON b.stream_id = $1 AND b.seq = k.seq
  )
  SELECT b.seq FROM batches b
  WHERE b.stream_id = $1 AND b.collected_at IS NULL AND (
    b.status = 'committed' AND NOT EXISTS (SELECT FROM kept k WHERE k.seq = b.seq)
    OR b.status = 'closed' AND b.created_at < $2)
  ORDER BY b.seq DESC`;

/** A branch may begin at a candidate meanwhile: then it is looked again, which another branch may repeat. */
const ATTEMPTS = 5;
const LAST_EVENT = 'SELECT coalesce(max(id), 0)::int AS id FROM events WHERE stream_id = $1';

/** Removes the tensors of batches that no root reaches. The rows of the batches stay, and a trigger that knows no roots guards them. */
export async function collectBatches(
  db: Database,
  streamId: string,
  { before, dryRun, signal }: BatchOptions,
): Promise<CollectedBatches> {
  let left: number[] = [];
  let asOf = -1;
  let refused = 0;
  const total = { batches: 0, entries: 0, entryBytes: 0, snapshots: [] as string[] };
  for (;;) {
    signal?.throwIfAborted();
    const round = async (client: pg.PoolClient) => {
      const locked = await client.query('SELECT FROM streams WHERE id = $1 FOR NO KEY UPDATE', [streamId]);
      if (locked.rowCount === 0) throw unknownStream(streamId);
      const { rows } = await client.query<{ id: number }>(LAST_EVENT, [streamId]);
      if (rows[0].id !== asOf) {
        // Every change of the head or of the checkpoints is an event: without one the candidates are as they were.
        const candidates = await client.query<{ seq: number }>(CANDIDATES, [streamId, before]);
        left = candidates.rows.map(({ seq }) => seq);
      }
      const seqs = left.slice(0, BATCHES_AT_ONCE);
      if (seqs.length === 0) return null;
      left = left.slice(BATCHES_AT_ONCE);
      const removed = await remove(client, streamId, seqs, dryRun);
      asOf = (await client.query<{ id: number }>(LAST_EVENT, [streamId])).rows[0].id;
      return removed;
    };
    let found: CollectedBatches | null;
    try {
      found = await db.session(round);
    } catch (error) {
      if (!isRestrictViolation(error) || ++refused === ATTEMPTS) throw error;
      asOf = -1;
      continue;
    }
    if (found === null) return total;
    for (const field of ['batches', 'entries', 'entryBytes'] as const) total[field] += found[field];
    total.snapshots.push(...found.snapshots);
  }
}

async function remove(
  client: pg.PoolClient,
  streamId: string,
  seqs: readonly number[],
  dryRun: boolean,
): Promise<CollectedBatches> {
  const at = [streamId, seqs];
  const { rows } = await client.query<{ entries: number; bytes: string | null }>(
    `SELECT count(*)::int AS entries, sum(length(tensors) + length(rest) + length(r_diagonal))::bigint AS bytes
     FROM log_entries WHERE stream_id = $1 AND seq = ANY($2)`,
    at,
  );
  const found = await client.query<{ id: string }>(
    'SELECT id FROM snapshots WHERE stream_id = $1 AND seq = ANY($2)',
    at,
  );
  const snapshots = found.rows.map(({ id }) => id);
  const result = { batches: seqs.length, entries: rows[0].entries, entryBytes: Number(rows[0].bytes ?? 0), snapshots };
  if (dryRun) return result;
  // The latest first, one by one: a batch goes when nothing builds on it any more.
  for (const seq of seqs)
    await client.query('UPDATE batches SET collected_at = now() WHERE stream_id = $1 AND seq = $2', [streamId, seq]);
  await client.query('DELETE FROM snapshots WHERE id = ANY($1)', [snapshots]);
  await client.query('DELETE FROM log_entries WHERE stream_id = $1 AND seq = ANY($2)', at);
  await client.query('DELETE FROM targets WHERE stream_id = $1 AND seq = ANY($2)', at);
  const { batches, entries, entryBytes } = result;
  const detail = {
    batches,
    entries,
    entryBytes,
    snapshots: snapshots.length,
    from: seqs[seqs.length - 1],
    to: seqs[0],
  };
  await client.query(
    `INSERT INTO events (stream_id, kind, seq, detail, edit_ids) SELECT id, 'collected', head, $2, '{}' FROM streams WHERE id = $1`,
    [streamId, detail],
  );
  return result;
}
