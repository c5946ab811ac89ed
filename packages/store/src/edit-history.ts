import type { EditStep } from '@errata/contracts';
import { partsFor } from './batch-records.js';
import { knownEdits } from './claim-revoke.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import type { Edit, Event, Stream } from './generated/client.js';
import { unknownStream } from './locks.js';
import { isWithin } from './owners.js';
import { placementsAt } from './placements.js';
import { toEdit } from './rows.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

/** A step and when it is to be sorted in: its own time where it has one. */
interface Timed {
  readonly key: Date;
  readonly step: EditStep;
}

interface Membership {
  readonly seq: number;
  readonly column: number;
  readonly source_seq: number | null;
  readonly replaced_by: string | null;
  readonly reason: string | null;
  readonly revocation_id: string | null;
  readonly committed_at: Date;
  readonly resolved_at: Date | null;
  readonly has_targets: boolean;
}

/** What the committed batches of a stream, and those it has from its origin, did with an edit. */
async function stepsOfBatches(tx: Transaction, stream: Stream, editId: string): Promise<Timed[]> {
  const inherited = stream.originSeq ? await partsFor(tx, stream.id, stream.originSeq) : [];
  const rows = await tx.$queryRaw<Membership[]>`
    SELECT m.seq, m."column", m.source_seq, m.replaced_by, b.reason, b.revocation_id, b.committed_at, t.resolved_at,
      t.seq IS NOT NULL AS has_targets
    FROM batch_edits m JOIN batches b USING (stream_id, seq) LEFT JOIN targets t USING (stream_id, seq)
    WHERE m.edit_id = ${editId} AND (m.stream_id = ${stream.id} OR ${isWithin('m', inherited)}) AND b.status = 'committed' ORDER BY m.seq`;
  return rows.flatMap((row) => stepsOfRow(row, editId));
}

function stepsOfRow(row: Membership, editId: string): Timed[] {
  const { seq, column, committed_at: key, revocation_id: revocation, replaced_by: by, reason } = row;
  const at = key.toISOString();
  if (row.source_seq === null) {
    const written: EditStep =
      revocation === null ? { kind: 'applied', at, seq, column } : { kind: 'retargeted', at, seq, column, revocation };
    const resolvedAt = row.resolved_at?.toISOString() ?? null;
    const resolved: Timed = { key: row.resolved_at ?? key, step: { kind: 'resolved', at: resolvedAt, seq } };
    return [...(row.has_targets ? [resolved] : []), { key, step: written }];
  }
  // Taken out to be put in again by the next batch.
  if (by === editId) return [];
  if (by !== null) return [{ key, step: { kind: 'superseded', at, seq, by } }];
  return [{ key, step: { kind: 'revoked', at, seq, reason, revocation } }];
}

async function isPlaced(tx: Transaction, streamId: string, seq: number, editId: string): Promise<boolean> {
  return (await placementsAt(tx, streamId, seq, [editId])).length > 0;
}

/** What rollbacks and changes of its expiry did. */
async function stepsOfEvents(tx: Transaction, stream: Stream, edit: Edit): Promise<Timed[]> {
  const { id } = edit;
  const streamId = stream.id;
  const events = await tx.event.findMany({
    where: {
      editIds: { has: id },
      OR: [
        { streamId, kind: 'rollback' },
        { streamId: edit.streamId, kind: 'expiry' },
      ],
    },
    orderBy: { id: 'asc' },
  });
  const steps: Timed[] = [];
  for (const event of events) {
    const { at: key, seq } = event;
    const at = key.toISOString();
    const detail = event.detail as { readonly from?: number | string | null; readonly expiresAt?: string | null };
    if (event.kind === 'expiry') {
      steps.push({ key, step: { kind: 'expiry-set', at, expiresAt: detail.expiresAt ?? null } });
    } else if (await isPlaced(tx, streamId, seq, id)) steps.push({ key, step: { kind: 'restored', at, seq } });
    else if (typeof detail.from === 'number' && (await isPlaced(tx, streamId, detail.from, id)))
      steps.push({ key, step: { kind: 'rolled-back', at, seq } });
  }
  const first = firstExpiry(edit, events);
  if (first === null) return steps;
  const at = edit.createdAt.toISOString();
  return [{ key: edit.createdAt, step: { kind: 'expiry-set', at, expiresAt: first } }, ...steps];
}

/** The expiry that an edit came with. */
function firstExpiry(edit: Edit, events: readonly Event[]): string | null {
  const changed = events.find((event) => event.kind === 'expiry');
  if (changed === undefined) return edit.expiresAt?.toISOString() ?? null;
  return (changed.detail as { readonly from?: string | null }).from ?? null;
}

/** What ended an edit without a batch that names it. */
function endOf({ status, reason, seq, updatedAt }: Edit): Timed[] {
  const at = updatedAt.toISOString();
  const end = (step: EditStep): Timed[] => [{ key: updatedAt, step }];
  if (status === 'rejected') return end({ kind: 'rejected', at, reason });
  if (status === 'verified' && seq === null) return end({ kind: 'unwritten', at, reason });
  const by = /^superseded by (edt_[0-9a-f]{32})$/.exec(reason ?? '')?.[1];
  return status === 'superseded' && seq === null && by !== undefined ? end({ kind: 'superseded', at, seq, by }) : [];
}

export function editHistoryRecords(db: Database): Pick<Store, 'editHistory'> {
  return {
    async editHistory(streamId, editId) {
      assertStorable({ edit: editId });
      return db.transaction(async (tx) => {
        const stream = await tx.stream.findUnique({ where: { id: streamId } });
        if (!stream) throw unknownStream(streamId);
        const row = await tx.edit.findUnique({ where: { id: editId } });
        const shown = (await knownEdits(tx, stream, [editId])).get(editId);
        if (!row || !shown) throw unknownEdit(streamId, editId);
        const steps: Timed[] = [
          { key: row.createdAt, step: { kind: 'queued', at: row.createdAt.toISOString() } },
          ...(await stepsOfBatches(tx, stream, editId)),
          ...(await stepsOfEvents(tx, stream, row)),
          ...endOf(row),
        ];
        steps.sort((a, b) => a.key.getTime() - b.key.getTime());
        return { edit: toEdit({ ...row, ...shown }), steps: steps.map(({ step }) => step) };
      });
    },
  };
}
