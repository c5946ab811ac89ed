import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import type { ChunkBodies, ChunkRow } from './chunk-bodies.js';
import { decodeChunk, encodeChunk } from './codec.js';
import type { Database } from './database.js';
import { isUniqueViolation } from './errors.js';

/** A field travels through COPY in one piece: small enough not to weigh on either side, large enough to stream. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
/** Chunks of one transaction. */
const CHUNKS_AT_ONCE = 2;
/** Transactions under way: while one is copied the next is hashed. With more, the server waits for its own locks. */
const GROUPS_AT_ONCE = 2;

/** Bytes of elements of 4 or 8 bytes. */
export interface ChunkSource {
  readonly bytes: Buffer;
  readonly width: 4 | 8;
}

export interface ChunkStore {
  /**
   * Stores bytes, what is there already once. At most {@link GROUPS_AT_ONCE} groups of chunks of them are under way.
   * @returns for each source the ids of its chunks in order
   */
  put(sources: AsyncIterable<ChunkSource>): Promise<string[][]>;
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

/** A chunk on its way, and where its id is wanted. */
interface Pending extends ChunkSource {
  readonly ids: string[];
  readonly index: number;
}

export function chunkId(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function* pendingOf(sources: AsyncIterable<ChunkSource>, found: string[][]): AsyncGenerator<Pending> {
  for await (const { bytes, width } of sources) {
    const ids: string[] = [];
    found.push(ids);
    for (let at = 0, index = 0; at < bytes.length; at += CHUNK_BYTES, index++)
      yield { bytes: bytes.subarray(at, at + CHUNK_BYTES), width, ids, index };
  }
}

/** Chunks by the sha256 of their bytes. */
export function chunkStore(db: Database, bodies: ChunkBodies, compressed: boolean): ChunkStore {
  async function putMissing(chunks: ReadonlyMap<string, Pending>): Promise<void> {
    // A chunk that is about to be named must not be collected meanwhile.
    const present = await db.prisma.$queryRaw<{ id: string }[]>`
      UPDATE chunks SET touched_at = now() WHERE id = ANY(${[...chunks.keys()]}) RETURNING id`;
    const known = new Set(present.map(({ id }) => id));
    const missing = [...chunks].filter(([id]) => !known.has(id));
    const rows = await Promise.all(
      missing.map(async ([id, { bytes, width }]): Promise<ChunkRow> => {
        const encoded = compressed ? await encodeChunk(bytes, width) : { codec: 'none', body: bytes };
        return { id, bytes: bytes.length, ...encoded };
      }),
    );
    if (rows.length > 0) await bodies.insert(rows);
  }

  async function putGroup(group: readonly Pending[], seen: Set<string>): Promise<void> {
    const chunks: [string, Pending][] = [];
    for (const chunk of group) {
      const id = chunkId(chunk.bytes);
      chunk.ids[chunk.index] = id;
      if (seen.has(id)) continue;
      seen.add(id);
      chunks.push([id, chunk]);
    }
    if (chunks.length === 0) return;
    // In one order everywhere: two writers of the same chunks wait for each other, never both at once.
    const sorted = new Map(chunks.sort(([a], [b]) => (a < b ? -1 : 1)));
    try {
      await putMissing(sorted);
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // Another writer had one of them too: now it can be seen.
      await putMissing(sorted);
    }
  }

  return {
    async put(sources) {
      const found: string[][] = [];
      const seen = new Set<string>();
      const running = new Set<Promise<void>>();
      const start = async (group: readonly Pending[]) => {
        while (running.size >= GROUPS_AT_ONCE) await Promise.race(running);
        const work = putGroup(group, seen);
        running.add(work);
        work.then(
          () => running.delete(work),
          () => undefined,
        );
      };
      try {
        let group: Pending[] = [];
        for await (const chunk of pendingOf(sources, found)) {
          group.push(chunk);
          if (group.length < CHUNKS_AT_ONCE) continue;
          await start(group);
          group = [];
        }
        if (group.length > 0) await start(group);
        await Promise.all(running);
      } finally {
        await Promise.allSettled(running);
      }
      return found;
    },

    async decode({ id, bytes, codec, location, data }) {
      const chunk = await decodeChunk(codec, await bodies.read(location, data), bytes);
      if (chunk.length !== bytes || chunkId(chunk) !== id)
        throw new ErrataError('LOG_CORRUPT', `chunk ${id} does not match its hash`);
      return chunk;
    },
  };
}
