import { findClaimed } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import { writeEvent } from './events.js';
import type { Prisma, Stream } from './generated/client.js';
import { answerOnce, findAnswer } from './idempotency.js';
import { inheritanceOf, inheritedStatuses } from './inherited.js';
import { lineageOf, positionHash } from './lineage.js';
import { lockStream } from './locks.js';
import { endRevocation } from './revocations.js';
import { release } from './settle.js';
import type { Store } from './types.js';

interface Answer extends Prisma.InputJsonObject {
  readonly head: number;
  readonly hash: string;
  readonly editIds: string[];
}

/**
 * Gives every edit that was ever written the status it has at the end of a lineage: in the weights, taken out by a
 * batch of the lineage, or not part of it.
 * @returns the edits whose status changed, by ordinal
 */
async function recomputeStatuses(
  tx: Transaction,
  streamId: string,
  lineage: readonly number[],
  outsideReason: string,
): Promise<string[]> {
  const seqs = [...lineage];
  const rows = await tx.$queryRaw<{ id: string }[]>`
    WITH written AS (
      SELECT DISTINCT ON (m.edit_id) m.edit_id, m.seq, m."column" FROM batch_edits m
      WHERE m.stream_id = ${streamId} AND m.source_seq IS NULL AND m.seq = ANY(${seqs})
      ORDER BY m.edit_id, m.seq DESC
    ), removed AS (
      SELECT m.edit_id, m.replaced_by, b.reason
      FROM written w JOIN batch_edits m ON m.edit_id = w.edit_id AND m.source_seq = w.seq AND m.seq = ANY(${seqs})
      JOIN batches b ON b.stream_id = m.stream_id AND b.seq = m.seq
      WHERE m.stream_id = ${streamId}
    ), wanted AS (
      SELECT e.id, e.ordinal, e.status AS before, COALESCE(w.seq, e.seq) AS seq, COALESCE(w."column", e."column") AS "column",
        CASE WHEN w.edit_id IS NULL THEN CASE e.status WHEN 'quarantined' THEN e.status ELSE 'revoked' END
             WHEN r.edit_id IS NULL THEN e.live_status
             WHEN r.replaced_by IS NULL THEN 'revoked' ELSE 'superseded' END AS status,
        CASE WHEN w.edit_id IS NULL THEN CASE WHEN e.status IN ('revoked', 'quarantined') THEN e.reason ELSE ${outsideReason} END
             WHEN r.edit_id IS NULL THEN e.live_reason
             WHEN r.replaced_by IS NULL THEN r.reason ELSE 'superseded by ' || r.replaced_by END AS reason
      FROM edits e LEFT JOIN written w ON w.edit_id = e.id LEFT JOIN removed r ON r.edit_id = e.id
      -- One let out of quarantine has no column; a lineage that wrote it before has it in the weights all the same.
      WHERE e.stream_id = ${streamId} AND (e.seq IS NOT NULL OR w.edit_id IS NOT NULL)
    ), changed AS (
      UPDATE edits e SET status = w.status, reason = w.reason, seq = w.seq, "column" = w."column", updated_at = now()
      FROM wanted w
      WHERE e.id = w.id AND (e.status, e.reason, e.seq, e."column") IS DISTINCT FROM (w.status, w.reason, w.seq, w."column")
      RETURNING e.id, w.ordinal, w.before <> w.status AS moved
    )
    SELECT id FROM changed WHERE moved ORDER BY ordinal`;
  return rows.map((row) => row.id);
}

/** Inherited edits whose status a move of the head changes, by ordinal; nothing is stored of it. */
async function movedInherited(tx: Transaction, stream: Stream, seq: number): Promise<string[]> {
  const before = await inheritanceOf(tx, stream);
  const after = await inheritanceOf(tx, { ...stream, head: seq });
  if (!before || !after) return [];
  const was = await inheritedStatuses(tx, before);
  const is = await inheritedStatuses(tx, after);
  return [...is.values()].filter(({ id, status }) => was.get(id)?.status !== status).map(({ id }) => id);
}

export function rollbackRecords(db: Database): Pick<Store, 'rollback' | 'rollbackAnswered'> {
  return {
    async rollbackAnswered(streamId, idempotency) {
      return findAnswer<Answer>(db.prisma, streamId, idempotency);
    },

    rollback: (streamId, seq, idempotency) =>
      db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const answered = idempotency && (await findAnswer<Answer>(tx, streamId, idempotency));
        if (answered) return answered;
        const answer = await moveHead(tx, stream, seq);
        if (idempotency) await answerOnce<Answer>(tx, streamId, idempotency, answer);
        return answer;
      }),
  };
}

/**
 * Moves the head, and ends what revocations were about to do.
 * @param reason of the edits that leave the weights
 */
export async function moveHead(
  tx: Transaction,
  stream: Stream,
  seq: number,
  reason = `rolled back to seq ${seq}`,
): Promise<Answer> {
  const streamId = stream.id;
  const hash = await positionHash(tx, streamId, seq);
  const claimed = await findClaimed(tx, streamId);
  if (claimed) await release(tx, claimed);
  if (stream.head === seq && !claimed) {
    // A repeated call answers what the first one did, as long as nothing has moved the head since.
    const last = await tx.event.findFirst({
      where: { streamId, kind: { in: ['batch', 'revoke', 'rollback'] } },
      orderBy: { id: 'desc' },
    });
    const repeated = last?.kind === 'rollback' && last.seq === seq;
    return { head: seq, hash, editIds: repeated ? last.editIds : [] };
  }
  const lineage = await lineageOf(tx, streamId, seq);
  const editIds = [
    ...(await movedInherited(tx, stream, seq)),
    ...(await recomputeStatuses(tx, streamId, lineage, reason)),
  ];
  const moved = await tx.stream.update({ where: { id: streamId }, data: { head: seq, headHash: hash } });
  const detail = { from: stream.head, edits: editIds.length, released: claimed?.seq ?? null, hash };
  await writeEvent(tx, { streamId, kind: 'rollback', seq, detail, editIds });
  const begun = await tx.revocation.findMany({ where: { streamId, finishedAt: null, begunAt: { not: null } } });
  for (const row of begun)
    await endRevocation(tx, moved, row, { status: 'cancelled', detail: `the head was moved to seq ${seq}` });
  return { head: seq, hash, editIds };
}
