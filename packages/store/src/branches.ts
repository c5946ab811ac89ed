import { ErrataError, newId } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import { isUniqueViolation } from './errors.js';
import { writeEvent } from './events.js';
import type { Prisma, Stream } from './generated/client.js';
import { answerOnce } from './idempotency.js';
import { holdPosition, positionHash } from './lineage.js';
import { unknownStream } from './locks.js';
import { STREAMS_SCOPE } from './streams.js';
import { assertStorable } from './text.js';
import type { NewBranch, Store } from './types.js';

/** What the preparation of the origin found holds for the branch: it has the same configuration and covariances. */
async function takePreparation(tx: Transaction, origin: Stream, id: string, seq: number): Promise<boolean> {
  await tx.$executeRaw`
    INSERT INTO stream_covariances (stream_id, layer, covariance_id)
    SELECT ${id}, layer, covariance_id FROM stream_covariances WHERE stream_id = ${origin.id}`;
  const prepared = await tx.event.findFirst({
    where: { streamId: origin.id, kind: 'prepared' },
    orderBy: { id: 'desc' },
  });
  if (!prepared) return false;
  const detail = prepared.detail as Prisma.InputJsonObject;
  await writeEvent(tx, { streamId: id, kind: 'prepared', seq, detail });
  return true;
}

/**
 * The canaries of the origin, with what was known of them up to the branch: one that held there and does not later is lost to the branch too.
 */
async function takeCanaries(tx: Transaction, origin: Stream, id: string, seq: number): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO canaries (stream_id, name, prompt, expected, base_holds, holds, seq, held_seq)
    SELECT ${id}, name, prompt, expected, base_holds, CASE WHEN c.seq <= ${seq} THEN holds END,
      CASE WHEN c.seq <= ${seq} THEN c.seq END, CASE WHEN held_seq <= ${seq} THEN held_seq END
    FROM canaries c WHERE stream_id = ${origin.id}`;
}

/** Writes the branch: a row, its covariances' names, canaries and first events, however long the history. */
async function writeBranch(tx: Transaction, origin: Stream, { name, seq }: NewBranch, id: string): Promise<void> {
  const hash = await positionHash(tx, origin.id, seq);
  await holdPosition(tx, origin.id, seq);
  const { modelId, config, configHash, genesisHash, nextOrdinal } = origin;
  await tx.stream.create({
    data: {
      id,
      name,
      modelId,
      config: config as Prisma.InputJsonObject,
      configHash,
      status: 'preparing',
      head: seq,
      headHash: hash,
      genesisHash,
      nextSeq: seq + 1,
      nextOrdinal,
      originStreamId: origin.id,
      originSeq: seq,
    },
  });
  await takeCanaries(tx, origin, id, seq);
  const from = { streamId: origin.id, name: origin.name, seq, hash };
  await writeEvent(tx, { streamId: id, kind: 'created', seq, detail: { name, modelId, configHash, origin: from } });
  if (await takePreparation(tx, origin, id, seq)) await tx.stream.update({ where: { id }, data: { status: 'ready' } });
  await writeEvent(tx, { streamId: origin.id, kind: 'branch', seq, detail: { branch: id, name, hash } });
}

export function branchRecords(
  db: Database,
  { getStream, listStreams }: Pick<Store, 'getStream' | 'listStreams'>,
): Pick<Store, 'createBranch' | 'listBranches'> {
  return {
    async createBranch(streamId, branch, idempotency) {
      assertStorable({ name: branch.name });
      const id = newId('str');
      try {
        const created = await db.transaction(async (tx) => {
          const earlier = idempotency && (await answerOnce(tx, STREAMS_SCOPE, idempotency, { streamId: id }));
          if (earlier) return earlier.streamId;
          const origin = await tx.stream.findUnique({ where: { id: streamId } });
          if (!origin) throw unknownStream(streamId);
          await writeBranch(tx, origin, branch, id);
          return id;
        });
        return await getStream(created);
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        throw new ErrataError(
          'NAME_TAKEN',
          `a stream is called ${JSON.stringify(branch.name)} already: choose another name`,
          { cause: error },
        );
      }
    },

    async listBranches(streamId) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      return listStreams(streamId);
    },
  };
}
