import { type Edit, type EditStatus, ErrataError } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import { type Edit as EditRow, Prisma, type Stream } from './generated/client.js';
import { type Inheritance, inheritanceOf, inheritedEdits, inheritedStatuses } from './inherited.js';
import { lockStream, unknownStream } from './locks.js';
import { type Placement, placementsAt } from './placements.js';
import { toEdit } from './rows.js';
import { assertStorable, storable } from './text.js';
import type { EditOutcome, Store } from './types.js';

const DEFAULT_PAGE = 100;
const LARGEST_ORDINAL = 2 ** 31 - 1;

/** States an edit may be in for an outcome to set another one; anything else is history that moved on meanwhile. */
const ALLOWED_FROM = {
  queued: ['queued', 'resolved'],
  resolved: ['queued', 'resolved'],
  rejected: ['queued', 'resolved'],
  applied: ['applied', 'verified'],
  verified: ['applied', 'verified'],
} as const;

/** What was found out about an edit, without its status. */
function findings({ answer, baseline, reason }: EditOutcome): Prisma.EditUpdateManyMutationInput {
  return {
    updatedAt: new Date(),
    ...(answer === undefined ? {} : { answer: storable(answer) }),
    ...(baseline === undefined ? {} : { baseline: storable(baseline) }),
    ...(reason === undefined ? {} : { reason: storable(reason) }),
  };
}

/** Sets the outcome of an edit that leaves its batch unwritten. */
export async function settleUnwritten(tx: Transaction, streamId: string, outcome: EditOutcome): Promise<void> {
  const status = outcome.status ?? 'rejected';
  if (status !== 'rejected' && status !== 'verified')
    throw new ErrataError(
      'INVALID_REQUEST',
      `edit ${outcome.editId} cannot leave its batch as ${status}: rejected or verified`,
    );
  const data = { ...findings(outcome), status };
  await tx.edit.updateMany({
    where: { id: outcome.editId, streamId, status: { in: ['queued', 'resolved'] } },
    data:
      status === 'verified' ? { ...data, liveStatus: 'verified', liveReason: storable(outcome.reason ?? null) } : data,
  });
}

async function setOutcome(tx: Transaction, streamId: string, outcome: EditOutcome): Promise<void> {
  const { editId, status } = outcome;
  const where = { id: editId, streamId };
  const edit = await tx.edit.findFirst({ where });
  if (!edit) {
    // What a branch finds out about an edit that it wrote again stays out of the row, which is the origin's.
    if (await tx.batchEdit.findFirst({ where: { editId, streamId } })) return;
    throw unknownEdit(streamId, editId);
  }
  if (status === 'superseded' || status === 'revoked' || status === 'quarantined')
    throw new ErrataError(
      'INVALID_REQUEST',
      `edit ${editId} becomes ${status} by a batch or a guard, not by an outcome`,
    );
  if (status === 'rejected') {
    const claimed = await tx.batchEdit.findFirst({ where: { editId, streamId, batch: { status: 'claimed' } } });
    if (claimed)
      throw new ErrataError(
        'INVALID_REQUEST',
        `edit ${editId} is in the claimed batch ${claimed.seq}: take it out with dropFromBatch`,
      );
  }
  const fits = status === undefined || (ALLOWED_FROM[status] as readonly string[]).includes(edit.status);
  const { reason, ...measured } = findings(outcome);
  const inWeights = edit.status === 'applied' || edit.status === 'verified';
  await tx.edit.updateMany({
    where,
    data: {
      ...measured,
      ...(fits && status !== undefined ? { status } : {}),
      ...(fits && reason !== undefined ? { reason } : {}),
      ...(fits && inWeights && status !== undefined ? { liveStatus: status } : {}),
      ...(fits && inWeights && reason !== undefined ? { liveReason: reason } : {}),
    },
  });
}

/** Edits of a branch by ordinal: its own as they are, inherited ones as they stand in the branch. */
async function listSeen(
  tx: Transaction,
  streamId: string,
  inheritance: Inheritance,
  { status, above, take }: { status: EditStatus | undefined; above: number; take: number },
): Promise<EditRow[]> {
  const seen = await tx.$queryRaw<Pick<EditRow, 'id' | 'status' | 'reason' | 'seq' | 'column'>[]>`
    SELECT id, status, reason, seq, "column" FROM (
      SELECT id, ordinal, status, reason, seq, "column" FROM edits WHERE stream_id = ${streamId} AND ordinal > ${above}
      UNION ALL
      SELECT id, ordinal, status, reason, seq, "column" FROM (${inheritedEdits(inheritance, Prisma.sql`e.ordinal > ${above}`)}) i
    ) s ${status === undefined ? Prisma.empty : Prisma.sql`WHERE status = ${status}`}
    ORDER BY ordinal LIMIT ${take}`;
  const rows = await tx.edit.findMany({ where: { id: { in: seen.map(({ id }) => id) } } });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return seen.flatMap(({ id, ...shown }) => {
    const row = byId.get(id);
    return row ? [{ ...row, ...shown }] : [];
  });
}

function positionOf(placement: Placement | undefined): { seq: number; column: number } | undefined {
  return placement && { seq: placement.seq, column: placement.column };
}

export function unknownEdit(streamId: string, editId: string): ErrataError {
  return new ErrataError('UNKNOWN_EDIT', `stream ${streamId} has no edit ${JSON.stringify(editId.slice(0, 100))}`);
}

/** Edits whose columns are in the weights at a position, by ordinal. @throws ErrataError UNKNOWN_POSITION */
export async function activeAt(tx: Transaction, stream: Stream, seq: number): Promise<Edit[]> {
  const placed = new Map((await placementsAt(tx, stream.id, seq)).map((one) => [one.editId, one]));
  const rows = await tx.edit.findMany({ where: { id: { in: [...placed.keys()] } }, orderBy: { ordinal: 'asc' } });
  // An edit that was written again later stands where it stood then; one of an origin as it stands while it is in the weights.
  return rows.map((row) => {
    const inherited = row.streamId !== stream.id && { status: row.liveStatus, reason: row.liveReason };
    return toEdit({ ...row, ...inherited, ...positionOf(placed.get(row.id)) });
  });
}

export function editRecords(db: Database): Pick<Store, 'listEdits' | 'getEdit' | 'activeEdits' | 'updateEdits'> {
  return {
    async listEdits(streamId, { status, after = 0, limit = DEFAULT_PAGE } = {}) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      const inheritance = stream && (await inheritanceOf(db.prisma, stream));
      const above = Math.min(after, LARGEST_ORDINAL);
      const rows = inheritance
        ? await listSeen(db.prisma, streamId, inheritance, { status, above, take: limit + 1 })
        : await db.prisma.edit.findMany({
            where: { streamId, status, ordinal: { gt: above } },
            orderBy: { ordinal: 'asc' },
            take: limit + 1,
          });
      const page = rows.slice(0, limit);
      return { edits: page.map(toEdit), next: rows.length > limit ? page[page.length - 1].ordinal : null };
    },

    async getEdit(streamId, editId) {
      assertStorable({ edit: editId });
      const row = await db.prisma.edit.findUnique({ where: { id: editId } });
      if (row?.streamId === streamId) return toEdit(row);
      const stream = row && (await db.prisma.stream.findUnique({ where: { id: streamId } }));
      const inheritance = stream && (await inheritanceOf(db.prisma, stream));
      const seen = inheritance && (await inheritedStatuses(db.prisma, inheritance, Prisma.sql`e.id = ${editId}`));
      const shown = seen?.get(editId);
      if (!row || !shown) throw unknownEdit(streamId, editId);
      return toEdit({ ...row, ...shown });
    },

    async activeEdits(streamId, seq) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      return activeAt(db.prisma, stream, seq ?? stream.head);
    },

    async updateEdits(streamId, outcomes) {
      if (outcomes.length === 0) return;
      await db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        for (const outcome of outcomes) await setOutcome(tx, streamId, outcome);
      });
    },
  };
}
