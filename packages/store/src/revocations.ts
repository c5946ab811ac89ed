import { type EditSelection, ErrataError, hasEnded, limits, newId, type Revocation } from '@errata/contracts';
import { findClaimed } from './batch-records.js';
import { knownEdits } from './claim-revoke.js';
import type { Database, Transaction } from './database.js';
import { unknownEdit } from './edits.js';
import { writeEvent } from './events.js';
import type { Prisma, Revocation as Row, Stream } from './generated/client.js';
import { answerOnce } from './idempotency.js';
import { lockStream, unknownStream } from './locks.js';
import { toRevocation } from './revocation-rows.js';
import { toEdit } from './rows.js';
import { select, writtenAfter } from './selection.js';
import { release } from './settle.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

/** Most revocations that one answer lists, the newest first. */
const LISTED = 100;
/** Most unknown edits that one error names. */
const NAMED = 20;

type Ending =
  | { readonly status: 'done'; readonly deviation: Revocation['deviation'] }
  | { readonly status: 'cancelled'; readonly detail: string }
  | { readonly status: 'failed'; readonly failure: NonNullable<Revocation['failure']> };

/** Ends a revocation where its stream stands now, and says so in an event. */
export async function endRevocation(tx: Transaction, stream: Stream, row: Row, ending: Ending): Promise<void> {
  const { status, ...found } = ending;
  const ended = await tx.revocation.update({
    where: { id: row.id },
    data: {
      status,
      head: stream.head,
      headHash: stream.headHash,
      finishedAt: new Date(),
      ...(ending.status === 'done' &&
        ending.deviation && { deviation: ending.deviation.map((layer) => ({ ...layer })) }),
      ...(ending.status === 'failed' && { failure: storable(ending.failure) }),
    },
  });
  const { cause, reason, revoked, retargeted, withdrawn } = await toRevocation(tx, ended);
  await writeEvent(tx, {
    streamId: stream.id,
    kind: 'revocation',
    seq: stream.head,
    detail: {
      revocation: row.id,
      status,
      cause,
      reason,
      revoked,
      retargeted,
      withdrawn,
      ...found,
    } as Prisma.InputJsonObject,
  });
}

function unknownRevocation(streamId: string, id: string): ErrataError {
  return new ErrataError(
    'UNKNOWN_REVOCATION',
    `stream ${streamId} has no revocation ${JSON.stringify(id.slice(0, 100))}`,
  );
}

async function find(tx: Transaction, streamId: string, id: string): Promise<Row> {
  assertStorable({ revocation: id });
  const row = await tx.revocation.findFirst({ where: { id, streamId } });
  if (!row) throw unknownRevocation(streamId, id);
  return row;
}

/** @throws ErrataError UNKNOWN_EDIT naming every id that the stream does not have, at most `NAMED` */
async function assertKnown(tx: Transaction, stream: Stream, editIds: readonly string[]): Promise<void> {
  const known = await knownEdits(tx, stream, editIds);
  const details = editIds.flatMap((id, i) =>
    known.has(id) ? [] : [{ field: `edits[${i}]`, message: unknownEdit(stream.id, id).message }],
  );
  const named = details.slice(0, NAMED);
  if (named.length > 0)
    throw new ErrataError('UNKNOWN_EDIT', named.map(({ message }) => message).join('; '), { details: named });
}

export function revocationRecords(
  db: Database,
): Pick<
  Store,
  | 'createRevocation'
  | 'previewRevocation'
  | 'getRevocation'
  | 'listRevocations'
  | 'cancelRevocation'
  | 'finishRevocation'
  | 'failRevocation'
> {
  return {
    async createRevocation(streamId, { selection, reason, retarget, verify }, idempotency) {
      assertStorable({ reason, tags: selection.tags, sources: selection.sources });
      return db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const id = newId('rev');
        const earlier = idempotency && (await answerOnce(tx, streamId, idempotency, { revocation: id }));
        if (earlier)
          return { revocation: await toRevocation(tx, await find(tx, streamId, earlier.revocation)), replayed: true };
        await assertKnown(tx, stream, selection.edits ?? []);
        const row = await tx.revocation.create({
          data: {
            id,
            streamId,
            cause: 'request',
            status: 'running',
            selection: selection as Prisma.InputJsonObject,
            reason,
            retarget,
            verify,
          },
        });
        return { revocation: await toRevocation(tx, row), replayed: false };
      });
    },

    async previewRevocation(streamId, selection: EditSelection) {
      assertStorable({ tags: selection.tags, sources: selection.sources });
      return db.transaction(async (tx) => {
        const stream = await tx.stream.findUnique({ where: { id: streamId } });
        if (!stream) throw unknownStream(streamId);
        const { placed, queued } = await select(tx, stream, selection);
        const later = await writtenAfter(tx, stream, placed);
        const columns = new Map(placed.map(({ editId, seq }) => [editId, seq]));
        const ids = [...columns.keys(), ...queued].slice(0, limits.editsOfHeadChange);
        const rows = new Map((await tx.edit.findMany({ where: { id: { in: ids } } })).map((row) => [row.id, row]));
        const known = await knownEdits(tx, stream, ids);
        return {
          head: stream.head,
          revoked: placed.length,
          withdrawn: queued.length,
          later: later.length,
          edits: ids.flatMap((id) => {
            const row = rows.get(id);
            return row ? [toEdit({ ...row, ...known.get(id), seq: columns.get(id) ?? row.seq })] : [];
          }),
        };
      });
    },

    async getRevocation(streamId, id) {
      return toRevocation(db.prisma, await find(db.prisma, streamId, id));
    },

    async listRevocations(streamId) {
      const rows = await db.prisma.revocation.findMany({ where: { streamId }, orderBy: { id: 'desc' }, take: LISTED });
      const revocations: Revocation[] = [];
      for (const row of rows) revocations.push(await toRevocation(db.prisma, row));
      return revocations;
    },

    async cancelRevocation(streamId, id) {
      return db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const row = await find(tx, streamId, id);
        if (row.status === 'cancelling' || row.status === 'cancelled') return toRevocation(tx, row);
        if (hasEnded(await toRevocation(tx, row)))
          throw new ErrataError(
            'REVOCATION_ENDED',
            `revocation ${id} is ${row.status}: roll back to before it to undo what it did`,
          );
        // One that has begun ends between two batches: the one under way is carried through.
        if (row.begunAt === null) await endRevocation(tx, stream, row, { status: 'cancelled', detail: 'on request' });
        else await tx.revocation.update({ where: { id }, data: { status: 'cancelling' } });
        return toRevocation(tx, await find(tx, streamId, id));
      });
    },

    async finishRevocation(streamId, id, deviation) {
      await db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const row = await find(tx, streamId, id);
        if (row.finishedAt === null) await endRevocation(tx, stream, row, { status: 'done', deviation });
      });
    },

    async failRevocation(streamId, id, failure) {
      return db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const row = await find(tx, streamId, id);
        if (row.finishedAt !== null) return toRevocation(tx, row);
        const claimed = await findClaimed(tx, streamId);
        if (claimed?.revocationId === id) await release(tx, claimed);
        await endRevocation(tx, stream, row, { status: 'failed', failure });
        return toRevocation(tx, await find(tx, streamId, id));
      });
    },
  };
}
