import { type BatchKind, type EditorConfig, ErrataError } from '@errata/contracts';
import { findBatch, findJoined } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import { writeEvent } from './events.js';
import type { Batch, Prisma, Stream } from './generated/client.js';
import { batchHash } from './hash.js';
import { removalsAt } from './layer-removals.js';
import { positionHash } from './lineage.js';
import { lockStream, unknownPosition } from './locks.js';
import type { Store } from './types.js';

/** Hash of a staged batch. @throws ErrataError SEQUENCE_GAP when a layer is missing */
async function stagedHash(tx: Transaction, stream: Stream, batch: Batch, parentHash: string): Promise<string> {
  const { streamId, seq } = batch;
  const entries = await tx.logEntry.findMany({
    where: { streamId, seq },
    select: { layer: true, hash: true },
    orderBy: [{ layer: 'asc' }, { rowStart: 'asc' }],
  });
  const { layers } = stream.config as unknown as EditorConfig;
  const missing = layers.filter((layer) => !entries.some((entry) => entry.layer === layer));
  if (missing.length > 0)
    throw new ErrataError('SEQUENCE_GAP', `batch ${seq} of ${streamId} lacks layers ${missing.join(', ')}`);
  const members = await tx.batchEdit.findMany({
    where: { streamId, seq },
    select: { editId: true },
    orderBy: { column: 'asc' },
  });
  const hashes = entries.map((entry) => entry.hash);
  const ids = members.map((member) => member.editId);
  return batchHash(parentHash, batch.kind as BatchKind, hashes, ids);
}

async function setStatuses(tx: Transaction, { streamId, seq, kind, revocationId }: Batch): Promise<void> {
  if (kind === 'revoke') {
    await tx.$executeRaw`
      UPDATE edits e SET updated_at = now(),
        status = CASE WHEN m.replaced_by IS NULL THEN 'revoked' ELSE 'superseded' END,
        reason = CASE WHEN m.replaced_by IS NULL THEN b.reason ELSE 'superseded by ' || m.replaced_by END
      FROM batch_edits m JOIN batches b USING (stream_id, seq)
      WHERE m.stream_id = ${streamId} AND m.seq = ${seq} AND e.id = m.edit_id AND e.stream_id = ${streamId}
        AND m.replaced_by IS DISTINCT FROM e.id`;
    return;
  }
  if (revocationId !== null) {
    await tx.$executeRaw`
      UPDATE edits e SET status = 'applied', live_status = 'applied', reason = NULL, live_reason = NULL, seq = m.seq,
        "column" = m."column", answer = NULL, updated_at = now()
      FROM batch_edits m
      WHERE m.stream_id = ${streamId} AND m.seq = ${seq} AND e.id = m.edit_id AND e.stream_id = ${streamId}`;
    return;
  }
  await tx.$executeRaw`
    UPDATE edits e SET status = 'applied', live_status = 'applied', live_reason = e.reason, seq = m.seq,
      "column" = m."column", updated_at = now()
    FROM batch_edits m WHERE m.stream_id = ${streamId} AND m.seq = ${seq} AND e.id = m.edit_id`;
  // An earlier edit that needed no write has no column to take out; it is out of date all the same.
  await tx.$executeRaw`
    UPDATE edits o SET status = 'superseded', reason = 'superseded by ' || e.id, updated_at = now()
    FROM batch_edits m JOIN edits e ON e.id = m.edit_id
    WHERE m.stream_id = ${streamId} AND m.seq = ${seq} AND o.stream_id = ${streamId} AND o.key_hash = e.key_hash
      AND o.status = 'verified' AND o.seq IS NULL AND o.target_hash <> e.target_hash`;
}

async function commitOne(
  tx: Transaction,
  batch: Batch,
  hash: string,
  at: Date,
  seconds: Prisma.InputJsonObject | null,
): Promise<void> {
  const { streamId, seq } = batch;
  const kind = batch.kind === 'apply' ? 'batch' : 'revoke';
  await tx.batch.update({
    where: { streamId_seq: { streamId, seq } },
    data: { status: 'committed', hash, committedAt: at, ...(seconds ? { seconds } : {}) },
  });
  await setStatuses(tx, batch);
  const adapter = await tx.edit.findFirst({
    where: { adapterId: { not: null }, batches: { some: { streamId, seq } } },
    select: { adapterId: true },
  });
  const detail = {
    ...(adapter && { adapter: adapter.adapterId }),
    edits: await tx.batchEdit.count({ where: { streamId, seq } }),
    hash,
    ...(batch.joinedSeq !== null && { supersededBy: batch.joinedSeq }),
    ...(batch.revocationId !== null && { revocation: batch.revocationId }),
    ...(batch.reason !== null && { reason: batch.reason }),
    ...(kind === 'revoke' && { layers: (await removalsAt(tx, streamId, [seq])).get(seq) ?? [] }),
  };
  await writeEvent(tx, { streamId, kind, seq, detail, at });
}

export function commitRecords(db: Database): Pick<Store, 'commitBatch'> {
  return {
    commitBatch: (streamId, seq, seconds) =>
      db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const batch = await findBatch(tx, streamId, seq);
        if (!batch) throw unknownPosition(streamId, seq, 'no batch has this seq');
        if (batch.joinedSeq !== null)
          throw new ErrataError(
            'INVALID_REQUEST',
            `batch ${seq} is committed with batch ${batch.joinedSeq}: commit that`,
          );
        if (batch.hash !== null) return { head: seq, hash: batch.hash };
        if (batch.closedReason === 'empty')
          return { head: batch.parentSeq, hash: await positionHash(tx, streamId, batch.parentSeq) };
        if (batch.status === 'closed') throw unknownPosition(streamId, seq, 'the batch was given up');

        const joined = await findJoined(tx, streamId, seq);
        const empty = (await tx.batchEdit.count({ where: { streamId, seq } })) === 0;
        const chain = [...(joined ? [joined] : []), ...(empty ? [] : [batch])];
        const root = joined ?? batch;
        if (root.parentSeq !== stream.head)
          throw new ErrataError(
            'SEQUENCE_GAP',
            `batch ${seq} builds on ${root.parentSeq}, but the head of ${streamId} is ${stream.head}`,
          );
        // One time for both: a moment between the two is no position.
        const at = new Date();
        let head = stream.head;
        let hash = stream.headHash;
        for (const one of chain) {
          hash = await stagedHash(tx, stream, one, hash);
          await commitOne(tx, one, hash, at, one === batch ? { ...seconds } : null);
          head = one.seq;
        }
        if (empty)
          await tx.batch.update({
            where: { streamId_seq: { streamId, seq } },
            data: { status: 'closed', closedReason: 'empty' },
          });
        await tx.stream.update({ where: { id: streamId }, data: { head, headHash: hash } });
        return { head, hash };
      }),
  };
}
