import type { ChunkBodies } from './chunk-bodies.js';
import type { Database } from './database.js';

/** Chunks of one transaction: 128 MB. */
const CHUNKS_AT_ONCE = 32;
const OBJECTS_AT_ONCE = 1000;

interface ChunkOptions {
  readonly graceMs: number;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
  /** Snapshots that a run in earnest would have dropped. */
  readonly dropped: readonly string[];
}

/** Removes chunks that no snapshot names, and objects that no chunk names. A chunk that is named meanwhile stays: its row is referred to. */
export async function collectChunks(
  db: Database,
  bodies: ChunkBodies,
  { graceMs, dryRun, signal, dropped }: ChunkOptions,
): Promise<{ chunks: number; chunkBytes: number }> {
  const before = new Date(Date.now() - graceMs);
  if (dryRun) {
    const [row] = await db.prisma.$queryRaw<{ chunks: number; bytes: bigint | null }[]>`
      SELECT count(*)::int AS chunks, sum(stored_bytes)::bigint AS bytes FROM chunks c
      WHERE touched_at < ${before} AND NOT EXISTS (
        SELECT FROM snapshot_chunks s WHERE s.chunk_id = c.id AND s.snapshot_id <> ALL(${[...dropped]}))`;
    return { chunks: row.chunks, chunkBytes: Number(row.bytes ?? 0) };
  }
  let chunks = 0;
  let chunkBytes = 0;
  for (;;) {
    signal?.throwIfAborted();
    // An object outlives its chunk's row for a moment, never the other way round.
    const gone = await db.prisma.$queryRaw<{ stored_bytes: number }[]>`
      WITH gone AS (
        SELECT id FROM chunks c WHERE touched_at < ${before} AND NOT EXISTS (SELECT FROM snapshot_chunks s WHERE s.chunk_id = c.id)
        LIMIT ${CHUNKS_AT_ONCE} FOR UPDATE SKIP LOCKED
      ), objects AS (
        INSERT INTO chunk_objects (location, created_at)
        SELECT c.location, 'epoch' FROM chunks c JOIN gone USING (id) WHERE c.location IS NOT NULL
      )
      DELETE FROM chunks c USING gone WHERE c.id = gone.id RETURNING c.stored_bytes`;
    chunks += gone.length;
    chunkBytes += gone.reduce((sum, row) => sum + row.stored_bytes, 0);
    if (gone.length < CHUNKS_AT_ONCE) break;
  }
  const where = { createdAt: { lt: before } };
  for (;;) {
    signal?.throwIfAborted();
    const objects = await db.prisma.chunkObject.findMany({ where, take: OBJECTS_AT_ONCE });
    const left = await bodies.remove(objects.map(({ location }) => location));
    if (objects.length < OBJECTS_AT_ONCE || !left) break;
  }
  return { chunks, chunkBytes };
}
