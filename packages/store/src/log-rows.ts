import { ErrataError } from '@errata/contracts';
import { float32Array, float32Bytes, float64Bytes, float64Numbers } from './bytes.js';
import type { CopyField, Row } from './copy.js';
import { damagedTensors, type EntryTensor, entryHash, tensorHashes } from './hash.js';
import { unknownPosition, unknownStream } from './locks.js';
import type { LogEntry, Matrix, StoredLogEntry } from './types.js';

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
  'r_diagonal',
  'tensor_hashes',
  'tensors',
  'rest',
] as const;

/** What Postgres cuts long values into, four to a page of 8 kB (TOAST_MAX_CHUNK_SIZE). */
const PIECE_BYTES = 1996;

/** K, G and B one behind the other: what fills whole pieces, and the rest, which stays in the row. */
export function packedTensors({ keys, g, b }: Pick<LogEntry, 'keys' | 'g' | 'b'>): {
  readonly tensors: readonly Buffer[];
  readonly rest: readonly Buffer[];
} {
  const all = [keys, g, b].map(({ data }) => float32Bytes(data));
  let left = all.reduce((sum, { length }) => sum + length, 0);
  left -= left % PIECE_BYTES;
  const split = all.map((bytes) => {
    const cut = Math.min(left, bytes.length);
    left -= cut;
    return [bytes.subarray(0, cut), bytes.subarray(cut)] as const;
  });
  return { tensors: split.map(([whole]) => whole), rest: split.map(([, rest]) => rest) };
}

/** Bytes of one tensor out of what {@link packedTensors} wrote. */
function unpacked(tensors: Buffer, rest: Buffer, from: number, length: number): Buffer {
  if (from + length <= tensors.length) return tensors.subarray(from, from + length);
  const start = Math.max(0, from - tensors.length);
  const end = rest.subarray(start, from + length - tensors.length);
  return from >= tensors.length ? end : Buffer.concat([tensors.subarray(from), end]);
}

/** An entry as a row of {@link entryColumns}. Figures that are not finite have no place in JSON and are left out of `stats`. */
export function entryRow(entry: StoredLogEntry, epoch: number): CopyField[] {
  const { keys, g, b } = entry;
  const { tensors, rest } = packedTensors(entry);
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
    float64Bytes(entry.rDiagonal),
    tensorHashes(entry),
    { parts: tensors },
    { parts: rest },
  ];
}

/** The SELECT that {@link readEntryRow} reads, for entries of batches that were not given up. */
export function selectEntries(streamId: string, seqs: readonly number[], layer?: number): string {
  if (!STREAM_ID.test(streamId)) throw unknownStream(streamId);
  const bad = [...seqs, layer ?? 0].find((n) => !Number.isInteger(n) || n < 0 || n > 0x7fffffff);
  if (bad !== undefined) throw unknownPosition(streamId, bad);
  return `SELECT e.seq, e.layer, e.sign, e.d_in, e.row_end - e.row_start, e.columns, e.previous_hash, e.hash,
      e.config_hash, e.stats::text, e.r_diagonal, e.tensor_hashes, e.tensors, e.rest
    FROM log_entries e JOIN batches b ON b.stream_id = e.stream_id AND b.seq = e.seq
    WHERE e.stream_id = '${streamId}' AND e.seq = ANY('{${seqs.join(',')}}'::int[]) AND b.status <> 'closed'
    ${layer === undefined ? '' : `AND e.layer = ${layer}`} ORDER BY e.seq, e.layer, e.row_start`;
}

function matrix(rows: number, columns: number, bytes: Buffer): Matrix {
  return { rows, columns, data: float32Array(bytes) };
}

/** A row of {@link selectEntries} as an entry. */
export function readEntryRow(streamId: string, row: Row): StoredLogEntry {
  const field = (index: number): Buffer => {
    const bytes = row[index];
    if (!bytes) throw new ErrataError('LOG_CORRUPT', `a log entry of ${streamId} lacks its column ${index}`);
    return bytes;
  };
  const [dIn, dOut, columns] = [3, 4, 5].map((index) => field(index).readInt32BE());
  const [tensors, rest] = [field(12), field(13)];
  const size = 4 * dIn * columns;
  // Of an imported adapter no keys are recorded.
  const keySize = tensors.length + rest.length - size - 4 * dOut * columns;
  if (keySize !== size && keySize !== 0)
    throw new ErrataError('LOG_CORRUPT', `a log entry of ${streamId} has ${keySize} bytes of keys`);
  return {
    streamId,
    seq: field(0).readInt32BE(),
    layer: field(1).readInt32BE(),
    sign: field(2).readInt16BE() === 1 ? 1 : -1,
    previousHash: field(6).toString(),
    hash: field(7).toString(),
    configHash: field(8).toString(),
    stats: JSON.parse(field(9).toString()),
    keys: matrix(dIn, keySize / (4 * dIn), unpacked(tensors, rest, 0, keySize)),
    g: matrix(dIn, columns, unpacked(tensors, rest, keySize, size)),
    b: matrix(dOut, columns, unpacked(tensors, rest, keySize + size, 4 * dOut * columns)),
    rDiagonal: float64Numbers(field(10)),
  };
}

/** Which tensors of an entry do not match the hashes that the same row of {@link selectEntries} has of them. */
export function damagedOfRow(entry: StoredLogEntry, row: Row): EntryTensor[] {
  return damagedTensors(entry, row[11] ?? Buffer.alloc(0));
}

/** Whether the entry's bytes still give its hash. */
export function entryIntact(entry: StoredLogEntry): boolean {
  return entryHash(entry.previousHash, entry) === entry.hash;
}
