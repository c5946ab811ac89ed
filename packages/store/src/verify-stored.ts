import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import type { ChunkStore } from './chunks.js';
import type { DamageStore, FoundDamage } from './damage-types.js';
import type { Database } from './database.js';
import { lineageOf } from './lineage.js';
import { unknownStream } from './locks.js';
import { ownershipOf, partsOf } from './owners.js';

const STREAM_ID = /^str_[0-9a-f]{32}$/;
const COVARIANCE_ID = /^cov_[0-9a-f]{64}$/;

async function* damagedTargets(db: Database, streamId: string, seqs: readonly number[]): AsyncGenerator<FoundDamage> {
  const query = `SELECT seq, sha256, data FROM targets WHERE stream_id = '${streamId}' AND seq = ANY('{${seqs.join(',')}}'::int[]) ORDER BY seq`;
  for await (const [seq, sha256, data] of db.copyOut(query)) {
    if (
      createHash('sha256')
        .update(data ?? '')
        .digest('hex') === String(sha256)
    )
      continue;
    const detail = 'the targets do not match their hash; no state of the weights depends on them';
    yield { streamId, seq: seq?.readInt32BE() ?? 0, layer: null, tensor: 'targets', detail, id: '' };
  }
}

async function* damagedSnapshots(
  db: Database,
  chunks: ChunkStore,
  streamId: string,
  seqs: readonly number[],
): AsyncGenerator<FoundDamage> {
  const query = `SELECT DISTINCT ON (c.id) c.id, c.bytes, c.codec, c.location, c.data, s.seq, k.name, s.id
    FROM snapshots s JOIN snapshot_chunks k ON k.snapshot_id = s.id JOIN chunks c ON c.id = k.chunk_id
    WHERE s.stream_id = '${streamId}' AND s.seq = ANY('{${seqs.join(',')}}'::int[]) ORDER BY c.id, s.seq`;
  for await (const [chunk, bytes, codec, location, data, seq, name, snapshot] of db.copyOut(query)) {
    const id = String(chunk);
    const place = location && String(location);
    try {
      await chunks.decode({ id, bytes: bytes?.readInt32BE() ?? 0, codec: String(codec), location: place, data });
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'LOG_CORRUPT') throw error;
      const layer = Number.parseInt(String(name), 10);
      const detail = `chunk ${id} of ${String(name)} in snapshot ${String(snapshot)}: ${error.message}`;
      yield {
        streamId,
        seq: seq?.readInt32BE() ?? 0,
        layer: layer >= 0 ? layer : null,
        tensor: 'snapshot',
        detail,
        id,
      };
    }
  }
}

async function* damagedCovariances(db: Database, streamId: string): AsyncGenerator<FoundDamage> {
  const bound = await db.prisma.streamCovariance.findMany({
    where: { streamId },
    include: { covariance: true },
    orderBy: { layer: 'asc' },
  });
  for (const { layer, covariance } of bound) {
    const { id, sha256 } = covariance;
    if (!COVARIANCE_ID.test(id)) continue;
    const hash = createHash('sha256');
    const query = `SELECT data FROM covariance_chunks WHERE covariance_id = '${id}' ORDER BY index`;
    for await (const [data] of db.copyOut(query)) if (data) hash.update(data);
    if (hash.digest('hex') === sha256) continue;
    yield { streamId, seq: 0, layer, tensor: 'covariance', detail: `covariance ${id} does not match its hash`, id };
  }
}

export function verifyStoredRecords(db: Database, chunks: ChunkStore): Pick<DamageStore, 'verifyStored'> {
  return {
    async verifyStored(streamId, seq) {
      if (!STREAM_ID.test(streamId)) throw unknownStream(streamId);
      const lineage = await lineageOf(db.prisma, streamId, seq);
      const ownership = await ownershipOf(db.prisma, streamId);
      const found: FoundDamage[] = [];
      for (const part of ownership ? partsOf(ownership, lineage) : []) {
        for await (const damage of damagedTargets(db, part.streamId, part.seqs)) found.push(damage);
        for await (const damage of damagedSnapshots(db, chunks, part.streamId, part.seqs)) found.push(damage);
      }
      for await (const damage of damagedCovariances(db, streamId)) found.push(damage);
      return found;
    },
  };
}
