import { budgetInfo, ErrataError, type GuardReading, limits, newId } from '@errata/contracts';
import { findJoined } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import type { DriftStore, GuardOrder, GuardOutcome, WebhookDelivery } from './drift-types.js';
import { unknownEdit } from './edits.js';
import { writeEvent } from './events.js';
import type { WebhookDelivery as DeliveryRow, Prisma, Stream } from './generated/client.js';
import { guardsOf } from './guard-settings.js';
import { lineageOf } from './lineage.js';
import { lockStream } from './locks.js';
import { moveHead } from './rollback.js';
import { assertStorable, storable } from './text.js';

/** Edits named in an event. */
const namedEdits = limits.editsOfHeadChange;

function tripText({ budget, value, limit, side }: GuardReading): string {
  const digits = (number: number) => Number(number.toPrecision(3));
  return `${budget} is ${digits(value)}, ${side} ${digits(limit)} (${budgetInfo(budget).title})`;
}

/** What a person can do after a guard has acted. */
function nextStep({ action, pause }: GuardOrder, quarantined: number): string {
  const resume = pause || action === 'pause' ? ' Then "errata streams resume".' : '';
  if (quarantined > 0)
    return `Look at what was taken out with "errata quarantine list"; "errata quarantine release" writes it again, "errata quarantine reject" ends it.${resume}`;
  if (resume !== '')
    return `Look at "errata streams drift"; take edits out with "errata revoke" or go back with "errata rollback".${resume}`;
  return 'Look at "errata streams drift" and "errata log"; take edits out with "errata revoke", or change the budget with "errata guards set".';
}

/** Where the head was before a batch, and the revoke batch that came with it. */
async function before(tx: Transaction, streamId: string, seq: number): Promise<number> {
  const joined = await findJoined(tx, streamId, seq);
  const root = joined ?? (await tx.batch.findUniqueOrThrow({ where: { streamId_seq: { streamId, seq } } }));
  return root.parentSeq;
}

/** Moves the head back and puts the edits that leave the weights with it into quarantine. */
async function takeBack(tx: Transaction, stream: Stream, to: number, reason: string): Promise<string[]> {
  const left = (await lineageOf(tx, stream.id, stream.head)).filter((seq) => seq > to);
  const { editIds } = await moveHead(tx, stream, to, reason);
  const rows = await tx.$queryRaw<{ id: string }[]>`
    UPDATE edits e SET status = 'quarantined', reason = ${reason}, updated_at = now()
    WHERE e.stream_id = ${stream.id} AND e.id = ANY(${editIds}) AND e.status = 'revoked' AND EXISTS (
      SELECT FROM batch_edits m WHERE m.edit_id = e.id AND m.stream_id = e.stream_id AND m.source_seq IS NULL
        AND m.seq = ANY(${left}))
    RETURNING e.id`;
  return rows.map(({ id }) => id);
}

async function act(tx: Transaction, stream: Stream, order: GuardOrder): Promise<string[]> {
  const { seq, action, trips, to } = order;
  const reason = storable(`guard after batch ${seq}: ${trips.map(tripText).join('; ')}`);
  let quarantined: string[] = [];
  const back = action === 'rollback' ? to : action === 'quarantine' ? await before(tx, stream.id, seq) : null;
  // The head may have been moved by hand since the batch: then there is nothing to take back.
  if (back !== null && stream.head === seq) quarantined = await takeBack(tx, stream, back, reason);
  if (action === 'pause' || order.pause) {
    const data = { status: 'paused', statusDetail: reason.slice(0, 1000) };
    await tx.stream.updateMany({ where: { id: stream.id, status: { not: 'paused' } }, data });
    await writeEvent(tx, { streamId: stream.id, kind: 'paused', seq: back ?? seq, detail: { detail: reason } });
  }
  return quarantined;
}

async function outcomeOf(tx: Transaction, streamId: string, seq: number): Promise<GuardOutcome | null> {
  const event = await tx.event.findFirst({
    where: { streamId, kind: 'guard', detail: { path: ['batch'], equals: seq } },
  });
  if (!event) return null;
  const detail = event.detail as { head: number; quarantined: number; delivery: string | null };
  return { head: detail.head, quarantined: detail.quarantined, delivery: detail.delivery };
}

async function carryOut(tx: Transaction, streamId: string, order: GuardOrder): Promise<GuardOutcome> {
  const stream = await lockStream(tx, streamId);
  const done = await outcomeOf(tx, streamId, order.seq);
  if (done) return done;
  const quarantined = await act(tx, stream, order);
  const { head } = await tx.stream.findUniqueOrThrow({ where: { id: streamId } });
  const { notify } = await guardsOf(tx, streamId);
  const delivery = notify === null ? null : newId('whd');
  const trips = order.trips.map(({ budget, side, value, limit, action }) => ({ budget, side, value, limit, action }));
  const detail = {
    batch: order.seq,
    action: order.action,
    paused: order.pause || order.action === 'pause',
    trips,
    why: order.trips.map(tripText).join('; '),
    from: order.seq,
    head,
    quarantined: quarantined.length,
    delivery,
    next: nextStep(order, quarantined.length),
  };
  await writeEvent(tx, { streamId, kind: 'guard', seq: head, detail, editIds: quarantined.slice(0, namedEdits) });
  await tx.probeRound.updateMany({ where: { streamId, seq: order.seq }, data: { tripped: true } });
  if (notify !== null && delivery !== null) {
    const { name } = stream;
    const at = new Date().toISOString();
    const payload = { id: delivery, type: 'guard', stream: { id: streamId, name }, at, ...detail };
    await tx.webhookDelivery.create({
      data: { id: delivery, streamId, seq: order.seq, receiver: notify, payload: payload as Prisma.InputJsonObject },
    });
  }
  return { head, quarantined: quarantined.length, delivery };
}

async function settle(
  tx: Transaction,
  streamId: string,
  what: 'release' | 'reject',
  { editIds, reason }: Parameters<DriftStore['settleQuarantine']>[2],
): Promise<string[]> {
  const stream = await lockStream(tx, streamId);
  const named = editIds && [...new Set(editIds)];
  if (named) {
    const rows = await tx.edit.findMany({ where: { streamId, id: { in: named } }, select: { id: true, status: true } });
    const unknown = named.find((id) => !rows.some((row) => row.id === id));
    if (unknown !== undefined) throw unknownEdit(streamId, unknown);
    const other = rows.find((row) => row.status !== 'quarantined');
    if (other)
      throw new ErrataError(
        'EDIT_NOT_QUARANTINED',
        `edit ${other.id} is ${other.status}: "errata quarantine list" shows those in quarantine`,
      );
  }
  const ids = named ?? null;
  const rows = await tx.$queryRaw<{ id: string }[]>`
    UPDATE edits SET status = ${what === 'release' ? 'queued' : 'rejected'}, seq = NULL, "column" = NULL, updated_at = now(),
      answer = CASE WHEN ${what === 'release'} THEN NULL ELSE answer END,
      reason = CASE WHEN ${what === 'release'} THEN ${reason ?? null}
        ELSE concat_ws(': ', 'rejected out of quarantine', ${reason ?? null}::text, reason) END
    WHERE stream_id = ${streamId} AND status = 'quarantined' AND (${ids}::text[] IS NULL OR id = ANY(${ids}::text[]))
    RETURNING id`;
  const settled = rows.map(({ id }) => id).sort();
  if (settled.length > 0)
    await writeEvent(tx, {
      streamId,
      kind: 'quarantine',
      seq: stream.head,
      detail: { what, edits: settled.length, reason: reason ?? null },
      editIds: settled.slice(0, namedEdits),
    });
  return settled;
}

function toDelivery({ settledAt: _, createdAt, ...row }: DeliveryRow): WebhookDelivery {
  return {
    ...row,
    payload: row.payload as WebhookDelivery['payload'],
    status: row.status as WebhookDelivery['status'],
    createdAt: createdAt.toISOString(),
  };
}

export function guardTripRecords(
  db: Database,
): Pick<DriftStore, 'carryOutGuard' | 'settleQuarantine' | 'getDelivery' | 'updateDelivery'> {
  return {
    carryOutGuard: (streamId, order) => db.transaction((tx) => carryOut(tx, streamId, order)),

    settleQuarantine(streamId, what, options) {
      assertStorable({ reason: options.reason });
      return db.transaction((tx) => settle(tx, streamId, what, options));
    },

    getDelivery: async (id) => toDelivery(await db.prisma.webhookDelivery.findUniqueOrThrow({ where: { id } })),

    async updateDelivery(id, { status, attempts, detail }) {
      await db.prisma.webhookDelivery.updateMany({
        where: { id, status: 'pending' },
        data: { status, attempts, detail: storable(detail), settledAt: status === 'pending' ? null : new Date() },
      });
    },
  };
}
