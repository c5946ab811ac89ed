import type { ChunkBodies } from './chunk-bodies.js';
import { collectBatches } from './collect-batches.js';
import { collectChunks } from './collect-chunks.js';
import { collectDeliveries } from './collect-deliveries.js';
import type { Database } from './database.js';
import type { GarbageReport, GarbageStore } from './garbage-types.js';
import { thinSnapshots } from './thin-snapshots.js';

/** A writer names its chunks within this time of storing or touching them. */
const CHUNK_GRACE_MS = 3_600_000;

export function garbageRecords(db: Database, bodies: ChunkBodies): GarbageStore {
  return {
    async collectGarbage({ keepMs, dryRun = false, streamId, graceMs = CHUNK_GRACE_MS, signal }) {
      const before = new Date(Date.now() - keepMs);
      const where = streamId === undefined ? {} : { id: streamId };
      const streams = await db.prisma.stream.findMany({ where, select: { id: true }, orderBy: { id: 'asc' } });
      const total = { batches: 0, entries: 0, entryBytes: 0, snapshots: 0 };
      const dropped: string[] = [];
      for (const { id } of streams) {
        const found = await collectBatches(db, id, { before, dryRun, signal });
        for (const field of ['batches', 'entries', 'entryBytes'] as const) total[field] += found[field];
        signal?.throwIfAborted();
        const thinned = (await thinSnapshots(db, id, dryRun)).filter((one) => !found.snapshots.includes(one));
        total.snapshots += found.snapshots.length + thinned.length;
        dropped.push(...found.snapshots, ...thinned);
      }
      const chunks =
        streamId === undefined
          ? await collectChunks(db, bodies, { graceMs, dryRun, signal, dropped })
          : { chunks: 0, chunkBytes: 0 };
      signal?.throwIfAborted();
      const deliveries = await collectDeliveries(db, { before, dryRun, streamId });
      return { ...total, ...chunks, deliveries } satisfies GarbageReport;
    },
  };
}
