import { ErrataError, newId } from '@errata/contracts';
import { knownEdits } from './claim-revoke.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import { writeEvent } from './events.js';
import { Prisma, type Stream } from './generated/client.js';
import { inheritanceOf, inheritedEdits } from './inherited.js';
import { lockStream } from './locks.js';
import { ownershipOf } from './owners.js';
import { toEdit } from './rows.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

/** @throws ErrataError INVALID_REQUEST for a moment that has come already */
export function assertFuture(expiresAt: string | null | undefined, field: string, now: Date): void {
  if (expiresAt == null || Date.parse(expiresAt) > now.getTime()) return;
  const message = `${expiresAt} is not in the future: it is ${now.toISOString()} now`;
  throw new ErrataError('INVALID_REQUEST', `${field} ${message}`, { details: [{ field, message }] });
}

/**
 * Rejects queued edits whose time has come, and begins a revocation of those in the weights.
 * @returns how many are to be taken out
 */
export async function expire(tx: Transaction, stream: Stream, at: Date): Promise<number> {
  await tx.$executeRaw`
    UPDATE edits SET status = 'rejected', updated_at = now(),
      reason = 'expired at ' || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || ', before it was written'
    WHERE stream_id = ${stream.id} AND expires_at <= ${at} AND status = 'queued'`;
  const due = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM edits
    WHERE stream_id = ${stream.id} AND expires_at <= ${at} AND status IN ('applied', 'verified') AND seq IS NOT NULL
    ORDER BY ordinal`;
  const inherited = await inheritedExpiring(tx, stream, Prisma.sql`e.expires_at <= ${at}`);
  const editIds = [...inherited, ...due].map((edit) => edit.id);
  if (editIds.length > 0)
    await tx.revocation.create({
      data: {
        id: newId('rev'),
        streamId: stream.id,
        cause: 'expiry',
        status: 'running',
        selection: {},
        reason: 'expired',
        editIds,
        begunAt: new Date(),
      },
    });
  return editIds.length;
}

/** Inherited edits that are in the weights of a branch and expire. */
async function inheritedExpiring(
  tx: Transaction,
  stream: Stream,
  when: Prisma.Sql,
): Promise<{ id: string; expires_at: Date }[]> {
  const ownership = stream.originSeq ? await ownershipOf(tx, stream.id) : null;
  if (!ownership) return [];
  const origins = ownership.owners.map((owner) => owner.streamId).filter((id) => id !== stream.id);
  const any = await tx.edit.findFirst({ where: { streamId: { in: origins }, expiresAt: { not: null } } });
  const inheritance = any && (await inheritanceOf(tx, stream));
  if (!inheritance) return [];
  return tx.$queryRaw<{ id: string; expires_at: Date }[]>(
    Prisma.sql`SELECT id, expires_at FROM (${inheritedEdits(inheritance, when)}) i
      WHERE status IN ('applied', 'verified') ORDER BY expires_at`,
  );
}

/**
 * Branches in whose weights an inherited edit has expired. Those that may be are found by what was never taken out, and only they
 * are looked at closely.
 */
export async function branchesWithExpired(tx: Transaction, at: Date): Promise<string[]> {
  const candidates = await tx.$queryRaw<{ id: string }[]>`
    WITH RECURSIVE chain(id, origin_id, up_to) AS (
      SELECT id, origin_stream_id, origin_seq FROM streams WHERE origin_stream_id IS NOT NULL AND status = 'ready'
      UNION ALL
      SELECT c.id, s.origin_stream_id, LEAST(c.up_to, s.origin_seq) FROM chain c JOIN streams s ON s.id = c.origin_id
      WHERE s.origin_stream_id IS NOT NULL)
    SELECT DISTINCT c.id FROM chain c JOIN edits e ON e.stream_id = c.origin_id
    WHERE e.expires_at <= ${at} AND EXISTS (
        SELECT FROM batch_edits w WHERE w.edit_id = e.id AND w.source_seq IS NULL AND w.seq <= c.up_to)
      AND NOT EXISTS (
        SELECT FROM batch_edits r JOIN batches b USING (stream_id, seq)
        WHERE r.edit_id = e.id AND r.source_seq IS NOT NULL AND b.status = 'committed'
          AND (r.stream_id = c.id OR (r.stream_id = c.origin_id AND r.seq <= c.up_to)))`;
  const found: string[] = [];
  for (const { id } of candidates) {
    const stream = await tx.stream.findUniqueOrThrow({ where: { id } });
    if ((await inheritedExpiring(tx, stream, Prisma.sql`e.expires_at <= ${at}`)).length > 0) found.push(id);
  }
  return found;
}

/** When the next edit expires that is queued or in the weights. */
export async function nextExpiry(tx: Transaction, stream: Stream, after: Date): Promise<Date | null> {
  const [row] = await tx.$queryRaw<{ next: Date | null }[]>`
    SELECT min(expires_at) AS next FROM edits
    WHERE stream_id = ${stream.id} AND expires_at > ${after}
      AND (status IN ('queued', 'resolved') OR (status IN ('applied', 'verified') AND seq IS NOT NULL))`;
  const [inherited] = await inheritedExpiring(tx, stream, Prisma.sql`e.expires_at > ${after}`);
  const times = [row?.next, inherited?.expires_at].filter((time) => time != null);
  return times.length === 0 ? null : new Date(Math.min(...times.map((time) => time.getTime())));
}

/** The branches of a stream, and theirs. */
async function branchesOf(tx: Transaction, streamId: string): Promise<string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    WITH RECURSIVE branch(id) AS (
      SELECT id FROM streams WHERE origin_stream_id = ${streamId}
      UNION ALL SELECT s.id FROM branch b JOIN streams s ON s.origin_stream_id = b.id)
    SELECT id FROM branch`;
  return rows.map((row) => row.id);
}

export function expiryRecords(db: Database): Pick<Store, 'setExpiry'> {
  return {
    async setExpiry(streamId, editId, expiresAt) {
      assertStorable({ edit: editId });
      return db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const edit = await tx.edit.findUnique({ where: { id: editId } });
        if (edit?.streamId !== streamId) {
          if (edit && (await knownEdits(tx, stream, [editId])).size > 0)
            throw new ErrataError(
              'INVALID_REQUEST',
              `edit ${editId} belongs to ${edit.streamId}, where this stream branched off: change its expiry there`,
            );
          throw unknownEdit(streamId, editId);
        }
        if (edit.status === 'rejected')
          throw new ErrataError(
            'EDIT_NOT_REVOCABLE',
            `edit ${editId} was rejected and never comes back: send it again, with the expiry it is to have`,
          );
        const next = expiresAt === null ? null : new Date(expiresAt);
        if (edit.expiresAt?.getTime() === next?.getTime()) return { edit: toEdit(edit), streams: [] };
        assertFuture(expiresAt, 'expiresAt', new Date());
        const changed = await tx.edit.update({
          where: { id: editId },
          data: { expiresAt: next, updatedAt: new Date() },
        });
        const from = edit.expiresAt?.toISOString() ?? null;
        const detail = { edit: editId, from, expiresAt: next?.toISOString() ?? null };
        await writeEvent(tx, { streamId, kind: 'expiry', seq: stream.head, detail, editIds: [editId] });
        return { edit: toEdit(changed), streams: [streamId, ...(await branchesOf(tx, streamId))] };
      });
    },
  };
}
