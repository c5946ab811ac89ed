import {
  type EditStatus,
  ErrataError,
  editorConfigHash,
  newId,
  type Stream,
  type StreamEvent,
  type StreamStatus,
} from '@errata/contracts';
import { beginWithAdapter } from './begin-with-adapter.js';
import { holdCorpus } from './corpora.js';
import type { Database } from './database.js';
import { isUniqueViolation } from './errors.js';
import { writeEvent } from './events.js';
import { branchesWithExpired } from './expiry.js';
import type { Stream as StreamRow } from './generated/client.js';
import { genesisHash } from './hash.js';
import { answerOnce } from './idempotency.js';
import { inheritanceOf, inheritedEdits } from './inherited.js';
import { lockStream, unknownStream } from './locks.js';
import { modelRecords } from './models.js';
import { toStream } from './rows.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

/** Idempotency keys for the making of streams. */
export const STREAMS_SCOPE = 'streams';

/** The event that a change of status is, if any. */
function statusEvent(from: StreamStatus, to: StreamStatus): StreamEvent['kind'] | null {
  if (from === to) return null;
  switch (to) {
    case 'preparing':
      return null;
    case 'ready':
      return from === 'preparing' ? 'prepared' : 'resumed';
    case 'paused':
      return 'paused';
    case 'failed':
      return 'failed';
  }
}

export function streamRecords(
  db: Database,
): Pick<
  Store,
  | 'createStream'
  | 'getStream'
  | 'listStreams'
  | 'setStreamStatus'
  | 'reportPreparation'
  | 'finishPreparation'
  | 'listStreamsWithWork'
> {
  const { getModel } = modelRecords(db);

  async function counts(streams: readonly StreamRow[]): Promise<Map<string, Stream['counts']>> {
    const streamIds = streams.map((stream) => stream.id);
    const groups = await db.prisma.edit.groupBy({
      by: ['streamId', 'status'],
      where: { streamId: { in: streamIds } },
      _count: true,
    });
    const result = new Map<string, Stream['counts']>(streamIds.map((id) => [id, {}]));
    for (const { streamId, status, _count } of groups) {
      const of = result.get(streamId);
      if (of) of[status as EditStatus] = _count;
    }
    for (const stream of streams) {
      const inheritance = await inheritanceOf(db.prisma, stream);
      const of = result.get(stream.id);
      if (!inheritance || !of) continue;
      const inherited = await db.prisma.$queryRaw<{ status: EditStatus; edits: number }[]>`
        SELECT status, count(*)::int AS edits FROM (${inheritedEdits(inheritance)}) i GROUP BY status`;
      for (const { status, edits } of inherited) of[status] = (of[status] ?? 0) + edits;
    }
    return result;
  }

  async function getStream(idOrName: string): Promise<Stream> {
    assertStorable({ stream: idOrName });
    const include = { model: { select: { name: true } } };
    const row =
      (await db.prisma.stream.findUnique({ where: { id: idOrName }, include })) ??
      (await db.prisma.stream.findUnique({ where: { name: idOrName }, include }));
    if (!row) throw unknownStream(idOrName);
    return toStream(row, row.model.name, (await counts([row])).get(row.id) ?? {});
  }

  return {
    getStream,

    async createStream({ name, modelId, config, adapter }, idempotency) {
      assertStorable({ name, templates: config.templates });
      await getModel(modelId);
      const id = newId('str');
      const configHash = editorConfigHash(config);
      const genesis = genesisHash(id, modelId, configHash);
      try {
        const created = await db.transaction(async (tx) => {
          const earlier = idempotency && (await answerOnce(tx, STREAMS_SCOPE, idempotency, { streamId: id }));
          if (earlier) return earlier.streamId;
          if (config.corpus && 'id' in config.corpus) await holdCorpus(tx, config.corpus.id);
          await tx.stream.create({
            data: {
              id,
              name,
              modelId,
              config,
              configHash,
              status: 'preparing',
              headHash: genesis,
              genesisHash: genesis,
            },
          });
          if (adapter !== undefined) await beginWithAdapter(tx, { id, modelId, config }, adapter);
          const detail = { name, modelId, configHash, ...(adapter !== undefined && { adapter }) };
          await writeEvent(tx, { streamId: id, kind: 'created', seq: 0, detail });
          return id;
        });
        return await getStream(created);
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        throw new ErrataError('NAME_TAKEN', `a stream is called ${JSON.stringify(name)} already: choose another name`, {
          cause: error,
        });
      }
    },

    async listStreams(originId) {
      const rows = await db.prisma.stream.findMany({
        where: { originStreamId: originId },
        include: { model: { select: { name: true } } },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      });
      const counted = await counts(rows);
      return rows.map((row) => toStream(row, row.model.name, counted.get(row.id) ?? {}));
    },

    async setStreamStatus(streamId, status, detail = null) {
      const statusDetail = storable(detail);
      await db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        await tx.stream.update({ where: { id: streamId }, data: { status, statusDetail } });
        const kind = statusEvent(stream.status as StreamStatus, status);
        if (kind) await writeEvent(tx, { streamId, kind, seq: stream.head, detail: { detail: statusDetail } });
      });
    },

    async reportPreparation(streamIds, detail) {
      await db.prisma.stream.updateMany({
        where: { id: { in: [...streamIds] }, status: 'preparing' },
        data: { statusDetail: storable(detail) },
      });
    },

    async finishPreparation(streamId, layers) {
      const found = layers.map((layer) => ({ ...layer }));
      await db.transaction(async (tx) => {
        const { head } = await lockStream(tx, streamId);
        await tx.stream.update({ where: { id: streamId }, data: { status: 'ready', statusDetail: null } });
        const known = await tx.event.findFirst({
          where: { streamId, kind: 'prepared', detail: { path: ['layers'], equals: found } },
        });
        if (!known) await writeEvent(tx, { streamId, kind: 'prepared', seq: head, detail: { layers: found } });
      });
    },

    async listStreamsWithWork() {
      const rows = await db.prisma.$queryRaw<{ id: string }[]>`
        SELECT s.id FROM streams s
        WHERE EXISTS (SELECT FROM edits e WHERE e.stream_id = s.id AND e.status = 'queued')
           OR EXISTS (SELECT FROM batches b WHERE b.stream_id = s.id AND b.status = 'claimed')
           OR EXISTS (SELECT FROM revocations r WHERE r.stream_id = s.id AND r.finished_at IS NULL)
           OR (s.status = 'ready' AND EXISTS (SELECT FROM edits e WHERE e.stream_id = s.id AND e.expires_at <= now()
                 AND e.status IN ('applied', 'verified') AND e.seq IS NOT NULL))
        ORDER BY s.id`;
      const own = rows.map((row) => row.id);
      return [...new Set([...own, ...(await branchesWithExpired(db.prisma, new Date()))])].sort();
    },
  };
}
