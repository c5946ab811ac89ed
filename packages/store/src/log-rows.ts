import { ErrataError } from '@errata/contracts';
import { float32Array, float32Bytes, float64Bytes, float64Numbers } from './bytes.js';
import type { CopyField } from './copy.js';
import { damagedTensors, type EntryTensor, entryHash, tensorHashes } from './hash.js';
import { unknownPosition, unknownStream } from './locks.js';
import type { Matrix, StoredLogEntry } from './types.js';

const STREAM_ID = /^str_[0-9a-f]{32}$/;

/** Columns of log_entries in the order they are written. */
export const entryColumns = [
  'stream_id',
  'seq',
  'layer',
  'row_start',
  'row_end',
  'sign',
  'd_in',
  'd_out',
  'columns',
  'epoch',
  'previous_hash',
  'hash',
  'config_hash',
  'stats',
  'keys',
  'g',
  'b',
  'r_diagonal',
  'tensor_hashes',
] as const;

/** An entry as a row of {@link entryColumns}. Figures that are not finite have no place in JSON and are left out of `stats`. */
export function entryRow(entry: StoredLogEntry, epoch: number): CopyField[] {
  const { keys, g, b } = entry;
  return [
    entry.streamId,
    { int4: entry.seq },
    { int4: entry.layer },
    { int4: 0 },
    { int4: b.rows },
    { int2: entry.sign },
    { int4: keys.rows },
    { int4: b.rows },
    { int4: g.columns },
    { int4: epoch },
    entry.previousHash,
    entry.hash,
    entry.configHash,
    { json: Object.fromEntries(Object.entries(entry.stats).filter(([, value]) => Number.isFinite(value))) },
    float32Bytes(keys.data),
    float32Bytes(g.data),
    float32Bytes(b.data),
    float64Bytes(entry.rDiagonal),
    tensorHashes(entry),
  ];
}

/** The SELECT that {@link readEntryRow} reads, for entries of batches that were not given up. */
export function selectEntries(streamId: string, seqs: readonly number[], layer?: number): string {
  if (!STREAM_ID.test(streamId)) throw unknownStream(streamId);
  const bad = [...seqs, layer ?? 0].find((n) => !Number.isInteger(n) || n < 0 || n > 0x7fffffff);
  if (bad !== undefined) throw unknownPosition(streamId, bad);
  return `SELECT e.seq, e.layer, e.sign, e.d_in, e.row_end - e.row_start, e.columns, e.previous_hash, e.hash,
      e.config_hash, e.stats::text, e.keys, e.g, e.b, e.r_diagonal, e.tensor_hashes
    FROM log_entries e JOIN batches b ON b.stream_id = e.stream_id AND b.seq = e.seq
    WHERE e.stream_id = '${streamId}' AND e.seq = ANY('{${seqs.join(',')}}'::int[]) AND b.status <> 'closed'
    ${layer === undefined ? '' : `AND e.layer = ${layer}`} ORDER BY e.seq, e.layer, e.row_start`;
}

function matrix(rows: number, columns: number, bytes: Buffer): Matrix {
  return { rows, columns, data: float32Array(bytes) };
}

/** A row of {@link selectEntries} as an entry. */
export function readEntryRow(streamId: string, row: readonly (Buffer | null)[]): StoredLogEntry {
  const field = (index: number): Buffer => {
    const bytes = row[index];
    if (!bytes) throw new ErrataError('LOG_CORRUPT', `a log entry of ${streamId} lacks its column ${index}`);
    return bytes;
  };
  const [dIn, dOut, columns] = [3, 4, 5].map((index) => field(index).readInt32BE());
  return {
    streamId,
    seq: field(0).readInt32BE(),
    layer: field(1).readInt32BE(),
    sign: field(2).readInt16BE() === 1 ? 1 : -1,
    previousHash: field(6).toString(),
    hash: field(7).toString(),
    configHash: field(8).toString(),
    stats: JSON.parse(field(9).toString()),
    // Of an imported adapter none are recorded.
    keys: matrix(dIn, field(10).length === 0 ? 0 : columns, field(10)),
    g: matrix(dIn, columns, field(11)),
    b: matrix(dOut, columns, field(12)),
    rDiagonal: float64Numbers(field(13)),
  };
}

/** Which tensors of an entry do not match the hashes that the same row of {@link selectEntries} has of them. */
export function damagedOfRow(entry: StoredLogEntry, row: readonly (Buffer | null)[]): EntryTensor[] {
  return damagedTensors(entry, row[14] ?? Buffer.alloc(0));
}

/** Whether the entry's bytes still give its hash. */
export function entryIntact(entry: StoredLogEntry): boolean {
  return entryHash(entry.previousHash, entry) === entry.hash;
}
