import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import type { ChunkBodies, ChunkRow } from './chunk-bodies.js';
import { decodeChunk, encodeChunk } from './codec.js';
import type { Database } from './database.js';
import { isUniqueViolation } from './errors.js';

/** A field travels through COPY in one piece: small enough not to weigh on either side, large enough to stream. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
/** Chunks of one transaction. */
const CHUNKS_AT_ONCE = 8;

export interface ChunkStore {
  /** Stores bytes of elements of 4 or 8 bytes, what is there already once. @returns ids of the chunks in order */
  put(bytes: Buffer, width: 4 | 8): Promise<string[]>;
  /** A stored chunk. @throws ErrataError LOG_CORRUPT */
  decode(stored: StoredChunk): Promise<Buffer>;
}

export interface StoredChunk {
  readonly id: string;
  readonly bytes: number;
  readonly codec: string;
  readonly location: string | null;
  readonly data: Buffer | null;
}

export function chunkId(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Chunks by the sha256 of their bytes. */
export function chunkStore(db: Database, bodies: ChunkBodies, compressed: boolean): ChunkStore {
  async function putMissing(chunks: ReadonlyMap<string, Buffer>, width: 4 | 8): Promise<void> {
    // A chunk that is about to be named must not be collected meanwhile.
    const present = await db.prisma.$queryRaw<{ id: string }[]>`
      UPDATE chunks SET touched_at = now() WHERE id = ANY(${[...chunks.keys()]}) RETURNING id`;
    const known = new Set(present.map(({ id }) => id));
    const rows: ChunkRow[] = [];
    for (const [id, bytes] of chunks) {
      if (known.has(id)) continue;
      const encoded = compressed ? await encodeChunk(bytes, width) : { codec: 'none', body: bytes };
      rows.push({ id, bytes: bytes.length, ...encoded });
    }
    if (rows.length > 0) await bodies.insert(rows);
  }

  return {
    async put(bytes, width) {
      const ids: string[] = [];
      for (let at = 0; at < bytes.length; at += CHUNKS_AT_ONCE * CHUNK_BYTES) {
        const group = new Map<string, Buffer>();
        const end = Math.min(bytes.length, at + CHUNKS_AT_ONCE * CHUNK_BYTES);
        for (let from = at; from < end; from += CHUNK_BYTES) {
          const chunk = bytes.subarray(from, Math.min(from + CHUNK_BYTES, end));
          ids.push(chunkId(chunk));
          group.set(ids[ids.length - 1], chunk);
        }
        try {
          await putMissing(group, width);
        } catch (error) {
          if (!isUniqueViolation(error)) throw error;
          // Another writer had one of them too: now it can be seen.
          await putMissing(group, width);
        }
      }
      return ids;
    },

    async decode({ id, bytes, codec, location, data }) {
      const chunk = await decodeChunk(codec, await bodies.read(location, data), bytes);
      if (chunk.length !== bytes || chunkId(chunk) !== id)
        throw new ErrataError('LOG_CORRUPT', `chunk ${id} does not match its hash`);
      return chunk;
    },
  };
}
