import { ErrataError } from '@errata/contracts';
import type pg from 'pg';
import { assertMatrix } from './bytes.js';
import { copyIn, type Database } from './database.js';
import { isUniqueViolation } from './errors.js';
import { entryHash } from './hash.js';
import { unknownPosition } from './locks.js';
import { entryColumns, entryIntact, entryRow, readEntryRow, selectEntries } from './log-rows.js';
import { ownershipOf, partsOf } from './owners.js';
import type { LogEntry, Store, StoredLogEntry } from './types.js';

interface BatchState {
  readonly status: 'claimed' | 'committed' | 'closed';
  readonly parent_seq: number;
  readonly config_hash: string;
  readonly genesis_hash: string;
  readonly in_config: boolean;
  /** Columns of its edits. */
  readonly members: number;
  /** The adapter that it imports. */
  readonly adapter: string | null;
}

/** The batch an entry belongs to, locked against its commit, its release and a change of its edits. */
async function lockBatch(client: pg.PoolClient, { streamId, seq, layer }: LogEntry): Promise<BatchState> {
  const { rows } = await client.query<BatchState>(
    `SELECT b.status, b.parent_seq, s.config_hash, s.genesis_hash,
       s.config->'layers' @> to_jsonb($3::int) AS in_config,
       coalesce(m.columns, 0) AS members, CASE WHEN b.kind = 'apply' THEN m.adapter END AS adapter
     FROM batches b JOIN streams s ON s.id = b.stream_id LEFT JOIN LATERAL (
       SELECT sum(e.width)::int AS columns, max(e.adapter_id) AS adapter
       FROM batch_edits o JOIN edits e ON e.id = o.edit_id WHERE o.stream_id = b.stream_id AND o.seq = b.seq) m ON true
     WHERE b.stream_id = $1 AND b.seq = $2 FOR SHARE OF b`,
    [streamId, seq, layer],
  );
  const [batch] = rows;
  if (!batch || batch.status === 'closed') throw unknownPosition(streamId, seq, 'no claimed batch has this seq');
  return batch;
}

/** Holds the shard's owner in place until the transaction ends. @throws ErrataError STALE_EPOCH */
async function fence(client: pg.PoolClient, { streamId, layer }: LogEntry, epoch: number): Promise<void> {
  const { rows } = await client.query<{ owner: string; epoch: number }>(
    'SELECT owner, epoch FROM shard_owners WHERE stream_id = $1 AND layer = $2 FOR SHARE',
    [streamId, layer],
  );
  const [current] = rows;
  if (current && epoch < current.epoch)
    throw new ErrataError(
      'STALE_EPOCH',
      `layer ${layer} of ${streamId} belongs to ${current.owner} since epoch ${current.epoch}; this write came with epoch ${epoch}`,
    );
}

function assertFits(entry: LogEntry, batch: BatchState): void {
  const { streamId, seq, layer, keys, g, b, rDiagonal } = entry;
  const recorded = batch.adapter === null ? { keys, g, b } : { g, b };
  for (const [name, matrix] of Object.entries(recorded)) assertMatrix(matrix, name);
  const u = g.columns;
  const keyed = keys.columns === (batch.adapter === null ? u : 0);
  const shaped = g.rows === keys.rows && keyed && b.columns === u && rDiagonal.length === u;
  if (!shaped)
    throw new ErrataError('INVALID_TENSOR', `K, G, B and R of layer ${layer} do not fit together (u = ${u})`);
  if (u !== batch.members)
    throw new ErrataError(
      'INVALID_TENSOR',
      `batch ${seq} of ${streamId} has ${batch.members} columns, the entry of layer ${layer} has ${u}`,
    );
  if (!batch.in_config)
    throw new ErrataError('INVALID_REQUEST', `layer ${layer} is not edited by the configuration of ${streamId}`);
  if (entry.configHash !== batch.config_hash)
    throw new ErrataError('INVALID_REQUEST', `the entry was made with another configuration (${entry.configHash})`);
}

async function previousHash(client: pg.PoolClient, entry: LogEntry, batch: BatchState): Promise<string> {
  if (batch.parent_seq === 0) return batch.genesis_hash;
  const { rows } = await client.query<{ hash: string }>(
    `WITH RECURSIVE chain(id, origin_stream_id, origin_seq) AS (
       SELECT id, origin_stream_id, origin_seq FROM streams WHERE id = $1
       UNION ALL
       SELECT s.id, s.origin_stream_id, s.origin_seq FROM chain c JOIN streams s ON s.id = c.origin_stream_id
       WHERE c.origin_seq >= $2)
     SELECT e.hash FROM chain c JOIN log_entries e ON e.stream_id = c.id AND e.seq = $2 AND e.layer = $3 AND e.row_start = 0
     WHERE c.origin_seq IS NULL OR c.origin_seq < $2`,
    [entry.streamId, batch.parent_seq, entry.layer],
  );
  if (rows[0]) return rows[0].hash;
  throw new ErrataError(
    'SEQUENCE_GAP',
    `layer ${entry.layer} of ${entry.streamId} is not staged for batch ${batch.parent_seq}, which batch ${entry.seq} builds on`,
  );
}

async function stage(client: pg.PoolClient, entry: LogEntry, epoch: number): Promise<StoredLogEntry> {
  const { streamId, seq, layer } = entry;
  const batch = await lockBatch(client, entry);
  await fence(client, entry, epoch);
  assertFits(entry, batch);
  const previous = await previousHash(client, entry, batch);
  const stored = { ...entry, previousHash: previous, hash: entryHash(previous, entry) };
  const { rows } = await client.query<{ hash: string }>(
    'SELECT hash FROM log_entries WHERE stream_id = $1 AND seq = $2 AND layer = $3 AND row_start = 0',
    [streamId, seq, layer],
  );
  const [existing] = rows;
  if (existing?.hash === stored.hash) return stored;
  if (existing)
    throw new ErrataError(
      'LOG_CONFLICT',
      `layer ${layer} of batch ${seq} of ${streamId} is written with hash ${existing.hash}, not ${stored.hash}`,
    );
  if (batch.status !== 'claimed') throw unknownPosition(streamId, seq, 'the batch is committed');
  await copyIn(client, 'log_entries', entryColumns, [entryRow(stored, epoch)]);
  return stored;
}

export function logRecords(db: Database): Pick<Store, 'stageEntry' | 'stagedLayers' | 'readEntries'> {
  return {
    async stageEntry(entry, epoch) {
      try {
        return await db.session((client) => stage(client, entry, epoch));
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        // Another writer was first: now its row can be seen and compared.
        return db.session((client) => stage(client, entry, epoch));
      }
    },

    async stagedLayers(streamId, seq) {
      const rows = await db.prisma.logEntry.findMany({
        where: { streamId, seq },
        select: { layer: true },
        distinct: ['layer'],
        orderBy: { layer: 'asc' },
      });
      return rows.map((row) => row.layer);
    },

    async readEntries(streamId, layer, seqs) {
      const found = new Map<number, StoredLogEntry>();
      if (seqs.length === 0) return [];
      const ownership = await ownershipOf(db.prisma, streamId);
      for (const part of ownership ? partsOf(ownership, seqs) : [])
        for await (const row of db.copyOut(selectEntries(part.streamId, part.seqs, layer))) {
          const entry = readEntryRow(part.streamId, row);
          if (!entryIntact(entry))
            throw new ErrataError(
              'LOG_CORRUPT',
              `layer ${layer} of batch ${entry.seq} of ${part.streamId} does not match its hash`,
            );
          found.set(entry.seq, entry);
        }
      return seqs.map((seq) => {
        const entry = found.get(seq);
        if (!entry) throw unknownPosition(streamId, seq, `nothing is staged for layer ${layer}`);
        return entry;
      });
    },
  };
}
