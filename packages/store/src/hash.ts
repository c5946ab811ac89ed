import { createHash } from 'node:crypto';
import type { BatchKind } from '@errata/contracts';
import { float32Bytes, float64Bytes } from './bytes.js';
import type { LogEntry } from './types.js';

const STREAM_ID_BYTES = 36;
const HEADER_BYTES = STREAM_ID_BYTES + 8 + 4 * 6 + 32;

/** Where the hash chain of a stream begins: sha256('errata.log.v1' ‖ stream id ‖ model id ‖ config hash), all as text. */
export function genesisHash(streamId: string, modelId: string, configHash: string): string {
  return createHash('sha256').update('errata.log.v1').update(streamId).update(modelId).update(configHash).digest('hex');
}

/**
 * The fixed-width head of an entry's canonical bytes. All integers little-endian:
 *
 *     offset size
 *          0   36  stream id, ASCII
 *         36    8  seq, unsigned
 *         44    4  layer, unsigned
 *         48    4  sign, two's complement (+1 or −1)
 *         52    4  d_in, unsigned          (rows of K and G)
 *         56    4  u, unsigned             (columns of K, G, B)
 *         60    4  first row, unsigned     (of d_out; 0 while shards hold whole layers)
 *         64    4  row after the last, unsigned
 *         68   32  hash of the editor configuration
 *
 * After it come K (nothing for an imported adapter), G, B (fp32, column-major) and the diagonal of R (fp64), all little-endian. `stats` is left out: it
 * holds timings, and two runs that do the same work must end with the same hash.
 */
function canonicalHeader(entry: LogEntry): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(entry.streamId, 0, STREAM_ID_BYTES, 'latin1');
  header.writeBigUInt64LE(BigInt(entry.seq), 36);
  header.writeUInt32LE(entry.layer, 44);
  header.writeInt32LE(entry.sign, 48);
  header.writeUInt32LE(entry.keys.rows, 52);
  header.writeUInt32LE(entry.g.columns, 56);
  header.writeUInt32LE(0, 60);
  header.writeUInt32LE(entry.b.rows, 64);
  header.write(entry.configHash, 68, 32, 'hex');
  return header;
}

/** Hash of a log entry: sha256(previous hash, 32 bytes ‖ canonical bytes), the previous one being its layer's along the lineage. */
export function entryHash(previousHash: string, entry: LogEntry): string {
  return createHash('sha256')
    .update(Buffer.from(previousHash, 'hex'))
    .update(canonicalHeader(entry))
    .update(float32Bytes(entry.keys.data))
    .update(float32Bytes(entry.g.data))
    .update(float32Bytes(entry.b.data))
    .update(float64Bytes(entry.rDiagonal))
    .digest('hex');
}

/** Tensors of an entry in the order of {@link tensorHashes}, by the columns that hold them. */
export const entryTensors = ['keys', 'g', 'b', 'r_diagonal'] as const;
export type EntryTensor = (typeof entryTensors)[number];
const TENSOR_HASH_BYTES = 8;

/** Which tensor of an entry was damaged: the first eight bytes of the sha256 of each, one behind the other. */
export function tensorHashes({ keys, g, b, rDiagonal }: Pick<LogEntry, 'keys' | 'g' | 'b' | 'rDiagonal'>): Buffer {
  const tensors = [float32Bytes(keys.data), float32Bytes(g.data), float32Bytes(b.data), float64Bytes(rDiagonal)];
  return Buffer.concat(
    tensors.map((bytes) => createHash('sha256').update(bytes).digest().subarray(0, TENSOR_HASH_BYTES)),
  );
}

/** Tensors whose bytes do not match the recorded {@link tensorHashes}. */
export function damagedTensors(entry: LogEntry, recorded: Buffer): EntryTensor[] {
  const found = tensorHashes(entry);
  return entryTensors.filter((_, i) => {
    const [from, to] = [i * TENSOR_HASH_BYTES, (i + 1) * TENSOR_HASH_BYTES];
    return !found.subarray(from, to).equals(recorded.subarray(from, to));
  });
}

/**
 * Hash of a batch: sha256(parent batch's hash, 32 bytes ‖ kind, one byte: 1 apply, 2 revoke ‖ number of entries, uint32 LE ‖
 * entry hashes in layer order, 32 bytes each ‖ edit ids in column order, ASCII). The first batch's parent is the genesis.
 */
export function batchHash(
  parentHash: string,
  kind: BatchKind,
  entryHashes: readonly string[],
  editIds: readonly string[],
): string {
  const head = Buffer.alloc(5);
  head.writeUInt8(kind === 'apply' ? 1 : 2, 0);
  head.writeUInt32LE(entryHashes.length, 1);
  const hash = createHash('sha256').update(Buffer.from(parentHash, 'hex')).update(head);
  for (const entry of entryHashes) hash.update(Buffer.from(entry, 'hex'));
  for (const id of editIds) hash.update(id, 'latin1');
  return hash.digest('hex');
}
