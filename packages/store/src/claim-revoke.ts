import { ErrataError } from '@errata/contracts';
import { activeCondition, findClaimed, loadClaimed, partsFor } from './batch-records.js';
import { type Removal, writeRevoke } from './claim.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import { Prisma, type Stream } from './generated/client.js';
import { inheritanceOf, inheritedStatuses } from './inherited.js';
import { lockStream } from './locks.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

/** Columns of the given edits, in the order of the log. @throws ErrataError UNKNOWN_EDIT, EDIT_NOT_REVOCABLE */
async function columnsOf(tx: Transaction, stream: Stream, editIds: readonly string[]): Promise<Removal[]> {
  const streamId = stream.id;
  const inheritance = await inheritanceOf(tx, stream);
  const inherited = inheritance
    ? await inheritedStatuses(tx, inheritance, Prisma.sql`e.id = ANY(${[...editIds]})`)
    : new Map<string, { status: string }>();
  const edits = await tx.edit.findMany({
    where: { id: { in: [...editIds] }, OR: [{ streamId }, { id: { in: [...inherited.keys()] } }] },
    orderBy: [{ seq: 'asc' }, { column: 'asc' }],
  });
  const unknown = editIds.find((id) => !edits.some((edit) => edit.id === id));
  if (unknown !== undefined) throw unknownEdit(streamId, unknown);
  const lineage = await partsFor(tx, streamId, stream.head);
  const active = await tx.$queryRaw<{ id: string }[]>(
    Prisma.sql`SELECT e.id FROM edits e WHERE e.id = ANY(${[...editIds]}) AND ${activeCondition(lineage)}`,
  );
  return edits.map(({ id, status, seq, column }) => {
    if (seq === null || column === null || !active.some((row) => row.id === id))
      throw new ErrataError(
        'EDIT_NOT_REVOCABLE',
        `edit ${id} is ${inherited.get(id)?.status ?? status}${seq === null ? ' and no column was written for it' : ''}: only an edit in the weights can be revoked`,
      );
    return { editId: id, seq, column, replacedBy: null };
  });
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
        const removals = await columnsOf(tx, stream, wanted);
        const seq = await writeRevoke(tx, stream, removals, { joinedSeq: null, reason });
        await tx.stream.update({ where: { id: streamId }, data: { nextSeq: seq + 1 } });
        return loadClaimed(tx, await tx.batch.findUniqueOrThrow({ where: { streamId_seq: { streamId, seq } } }));
      });
    },
  };
}
