import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Stream } from '@errata/contracts';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { type CopyField, encodeRows } from '../copy.js';
import { batchHash, entryHash } from '../hash.js';
import { entryColumns, entryRow } from '../log-rows.js';
import type { LogEntry } from '../types.js';

const BATCH_COLUMNS = ['stream_id', 'seq', 'parent_seq', 'kind', 'status', 'hash', 'committed_at'];
/** Batches of one COPY. */
const AT_ONCE = 500;

async function connected<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export async function copyRows(
  client: pg.Client,
  table: string,
  columns: readonly string[],
  rows: Iterable<readonly CopyField[]>,
): Promise<void> {
  const names = columns.map((name) => `"${name}"`).join(', ');
  const sink = client.query(copyFrom(`COPY ${table} (${names}) FROM STDIN (FORMAT binary)`));
  await pipeline(Readable.from(encodeRows(rows), { objectMode: true }), sink);
}

/**
 * Writes a straight history with an unbroken hash chain past the pipeline, for measuring: batches without edits.
 * @param tensorsOf what a batch does to a layer
 */
export async function writeSyntheticLog(
  url: string,
  stream: Stream,
  batches: number,
  tensorsOf: (seq: number, layer: number) => Pick<LogEntry, 'keys' | 'g' | 'b' | 'rDiagonal'>,
): Promise<void> {
  const { id: streamId, configHash, config } = stream;
  const last = new Map(config.layers.map((layer) => [layer, stream.headHash]));
  let hash = stream.headHash;
  await connected(url, async (client) => {
    for (let first = 1; first <= batches; first += AT_ONCE) {
      const rows: CopyField[][] = [];
      const hashes: string[] = [];
      const seqs = Array.from({ length: Math.min(AT_ONCE, batches - first + 1) }, (_, i) => first + i);
      for (const seq of seqs) {
        const own = config.layers.map((layer) => {
          const entry = { streamId, seq, layer, sign: 1 as const, stats: {}, configHash, ...tensorsOf(seq, layer) };
          const previousHash = last.get(layer) ?? '';
          const stored = { ...entry, previousHash, hash: entryHash(previousHash, entry) };
          last.set(layer, stored.hash);
          rows.push(entryRow(stored, 1));
          return stored.hash;
        });
        hash = batchHash(hash, 'apply', own, []);
        hashes.push(hash);
      }
      await client.query(
        `INSERT INTO batches (${BATCH_COLUMNS.join(', ')})
         SELECT $1, s.seq, s.seq - 1, 'apply', 'committed', s.hash, now() FROM unnest($2::int[], $3::text[]) AS s(seq, hash)`,
        [streamId, seqs, hashes],
      );
      await copyRows(client, 'log_entries', entryColumns, rows);
    }
    const values = [streamId, batches, hash];
    await client.query('UPDATE streams SET head = $2, next_seq = $2 + 1, head_hash = $3 WHERE id = $1', values);
    await client.query('ANALYZE');
  });
}

/** What the log takes, in bytes, free space included. */
export interface LogBytes {
  readonly total: number;
  /** Rows: everything but the tensors, and the rest of these. */
  readonly rows: number;
  readonly rowIndex: number;
  /** Pieces that Postgres cuts the tensors into. */
  readonly pieces: number;
  readonly pieceIndex: number;
}

export function logBytes(url: string): Promise<LogBytes> {
  return connected(url, async (client) => {
    const { rows } = await client.query<Record<keyof LogBytes, string>>(
      `SELECT sum(pg_total_relation_size(c.oid))::bigint AS total, sum(pg_relation_size(c.oid))::bigint AS rows,
         sum(pg_indexes_size(c.oid))::bigint AS "rowIndex", sum(pg_relation_size(c.reltoastrelid))::bigint AS pieces,
         sum(pg_indexes_size(c.reltoastrelid))::bigint AS "pieceIndex"
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log_entries'::regclass`,
    );
    const { total, rows: height, rowIndex, pieces, pieceIndex } = rows[0];
    return {
      total: Number(total),
      rows: Number(height),
      rowIndex: Number(rowIndex),
      pieces: Number(pieces),
      pieceIndex: Number(pieceIndex),
    };
  });
}
