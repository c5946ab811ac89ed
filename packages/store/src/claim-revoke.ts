import { ErrataError } from '@errata/contracts';
import { findClaimed, loadAt, loadClaimed } from './batch-records.js';
import { writeRevoke } from './claim.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import { Prisma, type Stream } from './generated/client.js';
import { inheritanceOf, inheritedStatuses } from './inherited.js';
import { lockStream } from './locks.js';
import { type Placement, placementsAt } from './placements.js';
import { assertStorable } from './text.js';
import type { ClaimedBatch, Store } from './types.js';

/**
 * Columns of the given edits, in the order of the log.
 * @throws ErrataError UNKNOWN_EDIT, EDIT_NOT_REVOCABLE one of them is not in the weights
 */
export async function columnsOf(tx: Transaction, stream: Stream, editIds: readonly string[]): Promise<Placement[]> {
  const placed = await placementsAt(tx, stream.id, stream.head, editIds);
  const inWeights = new Set(placed.map((one) => one.editId));
  const outside = editIds.filter((id) => !inWeights.has(id));
  const known = await knownEdits(tx, stream, outside);
  const unknown = outside.find((id) => !known.has(id));
  if (unknown !== undefined) throw unknownEdit(stream.id, unknown);
  for (const id of outside) {
    const { status, seq } = known.get(id) ?? {};
    throw new ErrataError(
      'EDIT_NOT_REVOCABLE',
      `edit ${id} is ${status}${seq === null ? ' and no column was written for it' : ''}: only an edit in the weights can be revoked`,
    );
  }
  return placed;
}

/** Those of some edits that a stream has, its own or from its origin, as they stand in it. */
export async function knownEdits(
  tx: Transaction,
  stream: Stream,
  editIds: readonly string[],
): Promise<Map<string, { readonly status: string; readonly seq: number | null }>> {
  if (editIds.length === 0) return new Map();
  const ids = [...editIds];
  const own = await tx.$queryRaw<{ id: string; status: string; seq: number | null }[]>`
    SELECT id, status, seq FROM edits WHERE stream_id = ${stream.id} AND id = ANY(${ids})`;
  const inheritance = await inheritanceOf(tx, stream);
  const inherited = inheritance ? await inheritedStatuses(tx, inheritance, Prisma.sql`e.id = ANY(${ids})`) : [];
  return new Map([
    ...own.map(({ id, ...shown }) => [id, shown] as const),
    ...[...inherited.values()].map(({ id, status, seq }) => [id, { status, seq }] as const),
  ]);
}

/** Claims a revoke batch of the given columns. */
export async function claimColumns(
  tx: Transaction,
  stream: Stream,
  columns: readonly Placement[],
  options: { reason: string | null; revocationId?: string },
): Promise<ClaimedBatch> {
  const removals = columns.map((column) => ({ ...column, replacedBy: null }));
  const seq = await writeRevoke(tx, stream, removals, { joinedSeq: null, ...options });
  await tx.stream.update({ where: { id: stream.id }, data: { nextSeq: seq + 1 } });
  return loadAt(tx, stream.id, seq);
}

export function claimRevokeRecords(db: Database): Pick<Store, 'claimRevoke'> {
  return {
    async claimRevoke(streamId, editIds, reason) {
      assertStorable({ reason, edits: editIds });
      const wanted = [...new Set(editIds)];
      if (wanted.length === 0) throw new ErrataError('INVALID_REQUEST', 'no edits to revoke: name at least one');
      return db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const claimed = await findClaimed(tx, streamId);
        if (claimed) {
          const batch = await loadClaimed(tx, claimed);
          const ids = new Set(batch.edits.map((edit) => edit.id));
          const same = batch.kind === 'revoke' && ids.size === wanted.length && wanted.every((id) => ids.has(id));
          if (same) return batch;
          throw new ErrataError(
            'NOT_READY',
            `stream ${streamId} has the ${claimed.kind} batch ${claimed.seq} under way: try again when it is committed`,
          );
        }
        const columns = await columnsOf(tx, stream, wanted);
        return claimColumns(tx, stream, columns, { reason });
      });
    },
  };
}
