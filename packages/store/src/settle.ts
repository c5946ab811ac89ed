import { ErrataError } from '@errata/contracts';
import { findBatch, findJoined } from './batch-records.js';
import { float32Array, float32Bytes } from './bytes.js';
import type { Database, Transaction } from './database.js';
import { settleUnwritten } from './edits.js';
import type { Batch } from './generated/client.js';
import { lockStream, unknownPosition } from './locks.js';
import { targetsHash } from './targets.js';
import type { Store } from './types.js';

/** Gives up a claimed batch and the revoke it brings along; its edits, when not yet written, are queued again. */
export async function release(tx: Transaction, batch: Batch): Promise<void> {
  const { streamId, seq } = batch;
  const joined = await findJoined(tx, streamId, seq);
  await tx.batch.updateMany({
    where: { streamId, seq: { in: joined ? [joined.seq, seq] : [seq] } },
    data: { status: 'closed', closedReason: 'released' },
  });
  if (batch.kind === 'apply')
    await tx.edit.updateMany({
      where: { status: 'resolved', batches: { some: { streamId, seq } } },
      data: { status: 'queued', updatedAt: new Date() },
    });
}

/** Takes the columns of dropped edits out of targets that were saved already. */
async function keepTargets(tx: Transaction, streamId: string, seq: number, kept: readonly number[]): Promise<void> {
  const where = { streamId_seq: { streamId, seq } };
  const targets = await tx.targets.findUnique({ where });
  if (!targets) return;
  if (kept.length === 0) {
    await tx.targets.delete({ where });
    return;
  }
  const all = float32Array(Buffer.from(targets.data));
  const data = new Float32Array(kept.length * targets.rows);
  for (const [to, from] of kept.entries())
    data.set(all.subarray(from * targets.rows, (from + 1) * targets.rows), to * targets.rows);
  const bytes = float32Bytes(data);
  const sha256 = targetsHash(bytes);
  await tx.targets.update({ where, data: { columns: kept.length, data: Uint8Array.from(bytes), sha256 } });
}

export function settleRecords(db: Database): Pick<Store, 'dropFromBatch' | 'releaseBatch'> {
  return {
    async dropFromBatch(streamId, seq, outcomes) {
      if (outcomes.length === 0) return;
      await db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        await tx.$queryRaw`SELECT seq FROM batches WHERE stream_id = ${streamId} AND seq = ${seq} FOR UPDATE`;
        const batch = await findBatch(tx, streamId, seq);
        if (batch?.status !== 'claimed') throw unknownPosition(streamId, seq, 'no claimed batch has this seq');
        if (batch.kind !== 'apply')
          throw new ErrataError('INVALID_REQUEST', `batch ${seq} revokes edits: give it up with releaseBatch instead`);
        const members = await tx.batchEdit.findMany({ where: { streamId, seq }, orderBy: { column: 'asc' } });
        const dropped = new Set(outcomes.map((outcome) => outcome.editId));
        const kept = members.filter((member) => !dropped.has(member.editId));
        if (kept.length < members.length) {
          if ((await tx.logEntry.count({ where: { streamId, seq } })) > 0)
            throw new ErrataError('LOG_CONFLICT', `batch ${seq} of ${streamId} has staged layers: its edits are fixed`);
          await tx.batchEdit.deleteMany({ where: { streamId, seq } });
          await tx.batchEdit.createMany({ data: kept.map((member, column) => ({ ...member, column })) });
          await keepTargets(
            tx,
            streamId,
            seq,
            kept.map((member) => member.column),
          );
        }
        for (const outcome of outcomes) await settleUnwritten(tx, streamId, outcome);
      });
    },

    async releaseBatch(streamId, seq) {
      await db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        const batch = await findBatch(tx, streamId, seq);
        if (batch?.status === 'claimed' && batch.joinedSeq === null) await release(tx, batch);
      });
    },
  };
}
