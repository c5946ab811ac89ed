import { type EditorConfig, type EditSelection, ErrataError, limits } from '@errata/contracts';
import { findClaimed, loadAt, loadClaimed } from './batch-records.js';
import { claimQueued, writeApply } from './claim.js';
import { claimColumns } from './claim-revoke.js';
import type { Database, Transaction } from './database.js';
import { expire, nextExpiry } from './expiry.js';
import type { Revocation, Stream } from './generated/client.js';
import { lockStream } from './locks.js';
import { type Placement, placementsAt } from './placements.js';
import { endRevocation } from './revocations.js';
import { select, writtenAfter } from './selection.js';
import { release } from './settle.js';
import type { ClaimedBatch, Store, Work } from './types.js';

type Step = Pick<Work, 'batch' | 'finishing'>;

const nothing: Step = { batch: null, finishing: null };

/** The oldest revocation that has not ended; of a stream that is held, only what was asked for. */
function findOpen(tx: Transaction, streamId: string, held: boolean): Promise<Revocation | null> {
  return tx.revocation.findFirst({
    where: { streamId, finishedAt: null, ...(held && { cause: 'request' }) },
    orderBy: { id: 'asc' },
  });
}

/**
 * Fixes which edits a revocation takes out, and rejects those that wait to be written.
 * @returns null where it cannot begin: then it has failed
 */
async function begin(tx: Transaction, stream: Stream, row: Revocation): Promise<Revocation | null> {
  try {
    const { placed, queued } = await select(tx, stream, row.selection as EditSelection);
    const retargetIds = row.retarget ? await writtenAfter(tx, stream, placed) : [];
    const reason =
      row.reason === null ? 'revoked before it was written' : `revoked before it was written: ${row.reason}`;
    await tx.edit.updateMany({
      where: { id: { in: [...queued] } },
      data: { status: 'rejected', reason, updatedAt: new Date() },
    });
    const editIds = placed.map((column) => column.editId);
    const data = { editIds, retargetIds, withdrawn: queued.length, begunAt: new Date() };
    return await tx.revocation.update({ where: { id: row.id }, data });
  } catch (error) {
    if (!(error instanceof ErrataError) || error.retryable) throw error;
    await endRevocation(tx, stream, row, { status: 'failed', failure: { code: error.code, message: error.message } });
    return null;
  }
}

/** The next batch of a revocation that has begun, or what is left when all are committed. */
async function advance(tx: Transaction, stream: Stream, row: Revocation): Promise<Step> {
  const { id: revocationId, reason } = row;
  const left = await placementsAt(tx, stream.id, stream.head, row.editIds);
  if (left.length > 0)
    return {
      batch: await claimColumns(tx, stream, left.slice(0, limits.editsPerBatch), { reason, revocationId }),
      finishing: null,
    };
  const later = row.retargetIds.length > 0 ? await placementsAt(tx, stream.id, stream.head, row.retargetIds) : [];
  const rewritten = await tx.batch.findMany({ where: { revocationId, kind: 'apply' }, select: { seq: true } });
  const old = later.filter(({ seq }) => !rewritten.some((batch) => batch.seq === seq));
  if (old.length > 0) return { batch: await claimRewrite(tx, stream, revocationId, old), finishing: null };
  return { batch: null, finishing: { revocationId, verify: row.verify } };
}

/** Claims the writing again of the next edits: old columns out, new ones in. */
async function claimRewrite(
  tx: Transaction,
  stream: Stream,
  revocationId: string,
  old: readonly Placement[],
): Promise<ClaimedBatch> {
  const { batchSize } = stream.config as unknown as EditorConfig;
  const columns = old.slice(0, Math.min(batchSize, limits.editsPerBatch));
  const removals = columns.map((column) => ({ ...column, replacedBy: column.editId }));
  const ids = columns.map((column) => column.editId);
  return loadAt(tx, stream.id, await writeApply(tx, stream, ids, removals, { revocationId }));
}

async function nextStep(
  tx: Transaction,
  stream: Stream,
  { limit, at, held }: { limit: number; at: Date; held: boolean },
): Promise<Step> {
  let claimed = await findClaimed(tx, stream.id);
  for (;;) {
    const open = await findOpen(tx, stream.id, held);
    const stopping = open?.status === 'cancelling';
    const own = claimed !== null && claimed.revocationId === open?.id;
    if (claimed && (own ? !stopping : !held)) return { ...nothing, batch: await loadClaimed(tx, claimed) };
    if (open === null) {
      if (held) return nothing;
      if ((await expire(tx, stream, at)) === 0) return { ...nothing, batch: await claimQueued(tx, stream, limit) };
      continue;
    }
    // A stream that stopped left a batch behind: its edits are queued again.
    if (claimed) await release(tx, claimed);
    claimed = null;
    if (stopping) {
      await endRevocation(tx, stream, open, { status: 'cancelled', detail: 'on request' });
      continue;
    }
    const begun = open.begunAt === null ? await begin(tx, stream, open) : open;
    if (begun) return advance(tx, stream, begun);
  }
}

export function workRecords(db: Database): Pick<Store, 'nextWork'> {
  return {
    nextWork: (streamId, { limit, at, held }) =>
      db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const moment = new Date(at);
        const step = await nextStep(tx, stream, { limit, at: moment, held });
        return { ...step, nextExpiry: (await nextExpiry(tx, stream, moment))?.toISOString() ?? null };
      }),
  };
}
