import { ErrataError } from '@errata/contracts';
import { findBatch, findJoined, partsFor } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import type { Stream } from './generated/client.js';
import { lineageOf, positionHash } from './lineage.js';
import { unknownPosition, unknownStream } from './locks.js';
import { isWithin, ownerOf, ownershipOf } from './owners.js';
import { assertStorable } from './text.js';
import type { PositionTarget, Store } from './types.js';

/** Events that leave the head at their seq. */
const HEAD_MOVES = ['batch', 'revoke', 'rollback'];

/** Where the head was at a time; of a branch before it was made, the place on its history that was written by then. */
async function headAt(tx: Transaction, stream: Stream, at: string): Promise<number> {
  const time = new Date(at);
  if (Number.isNaN(time.getTime()))
    throw new ErrataError('INVALID_REQUEST', `${JSON.stringify(at)} is no time: write it as 2026-11-26T01:00:00Z`);
  if (time.getTime() > Date.now())
    throw new ErrataError('UNKNOWN_POSITION', `${at} is in the future: give a time that has passed`);
  if (time >= stream.createdAt) {
    const last = await tx.event.findFirst({
      where: { streamId: stream.id, kind: { in: HEAD_MOVES }, at: { lte: time } },
      orderBy: { id: 'desc' },
    });
    return last?.seq ?? stream.originSeq ?? 0;
  }
  return writtenBy(tx, stream, time);
}

async function writtenBy(tx: Transaction, stream: Stream, time: Date): Promise<number> {
  const ownership = await ownershipOf(tx, stream.id);
  const root = await tx.stream.findUniqueOrThrow({ where: { id: ownership?.rootId ?? stream.id } });
  if (time < root.createdAt)
    throw new ErrataError(
      'UNKNOWN_POSITION',
      `stream ${stream.id} has no history at ${time.toISOString()}: it begins at ${root.createdAt.toISOString()}`,
    );
  const path = await lineageOf(tx, stream.id, stream.originSeq ?? 0);
  for (const seq of path.reverse()) {
    const batch = await findBatch(tx, await ownerOf(tx, stream.id, seq), seq);
    if (batch?.committedAt && batch.committedAt <= time) return seq;
  }
  return 0;
}

/** The position that the first batch of an edit was committed on. */
async function beforeEdit(tx: Transaction, stream: Stream, editId: string): Promise<number> {
  assertStorable({ edit: editId });
  const edit = await tx.edit.findUnique({ where: { id: editId } });
  const ownership = await ownershipOf(tx, stream.id);
  if (!edit || !ownership?.owners.some(({ streamId }) => streamId === edit.streamId))
    throw unknownEdit(stream.id, editId);
  const [first] = await tx.$queryRaw<{ stream_id: string; seq: number }[]>`
    SELECT m.stream_id, m.seq FROM batch_edits m
    WHERE m.edit_id = ${editId} AND m.source_seq IS NULL AND ${isWithin('m', await partsFor(tx, stream.id, stream.head))}
    ORDER BY m.seq LIMIT 1`;
  if (first === undefined)
    throw new ErrataError(
      'EDIT_NOT_ON_LINEAGE',
      `edit ${editId} ${edit.seq === null ? `is ${edit.status} and was never written` : `was written at seq ${edit.seq}, which the head at seq ${stream.head} does not build on`}: name a seq`,
    );
  const batch = await findBatch(tx, first.stream_id, first.seq);
  if (!batch) throw unknownPosition(stream.id, first.seq);
  return ((await findJoined(tx, first.stream_id, first.seq)) ?? batch).parentSeq;
}

async function seqOf(tx: Transaction, stream: Stream, target: PositionTarget): Promise<number> {
  if ('seq' in target) return target.seq;
  if ('at' in target) return headAt(tx, stream, target.at);
  if ('beforeEdit' in target) return beforeEdit(tx, stream, target.beforeEdit);
  assertStorable({ checkpoint: target.checkpoint });
  const where = { streamId_name: { streamId: stream.id, name: target.checkpoint } };
  const checkpoint = await tx.checkpoint.findUnique({ where });
  if (!checkpoint)
    throw new ErrataError(
      'UNKNOWN_CHECKPOINT',
      `stream ${stream.id} has no checkpoint ${JSON.stringify(target.checkpoint)}`,
    );
  return checkpoint.seq;
}

export function positionRecords(db: Database): Pick<Store, 'resolvePosition'> {
  return {
    async resolvePosition(streamId, target) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const seq = await seqOf(db.prisma, stream, target);
      return { seq, hash: await positionHash(db.prisma, streamId, seq) };
    },
  };
}
