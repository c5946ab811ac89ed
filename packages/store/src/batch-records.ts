import type { Batch, BatchKind, BatchSeconds, LayerDrift } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import type { Batch as BatchRow } from './generated/client.js';
import { lineageOf } from './lineage.js';
import { assertSeq, unknownPosition, unknownStream } from './locks.js';
import { ownerOf, ownershipOf, type Part, partsOf } from './owners.js';
import { toEdit } from './rows.js';
import type { ClaimedBatch, Store } from './types.js';

/** Why a batch never became visible. `released` ones are never read again. */
export type ClosedReason = 'empty' | 'released';

/** The batch, or null; claimed, committed or closed alike. */
export function findBatch(tx: Transaction, streamId: string, seq: number): Promise<BatchRow | null> {
  assertSeq(streamId, seq);
  return tx.batch.findUnique({ where: { streamId_seq: { streamId, seq } } });
}

/** The revoke batch that is committed together with an apply batch, or null. */
export function findJoined(tx: Transaction, streamId: string, seq: number): Promise<BatchRow | null> {
  return tx.batch.findFirst({ where: { streamId, joinedSeq: seq } });
}

/** The apply or revoke batch under way in a stream, or null; never the revoke that an apply brings along. */
export function findClaimed(tx: Transaction, streamId: string): Promise<BatchRow | null> {
  return tx.batch.findFirst({ where: { streamId, status: 'claimed', joinedSeq: null } });
}

/** A batch with its edits, and the revoke batch that it brings along. */
export async function loadClaimed(tx: Transaction, batch: BatchRow): Promise<ClaimedBatch> {
  const { streamId, seq } = batch;
  const joined = batch.kind === 'apply' ? await findJoined(tx, streamId, seq) : null;
  const supersedes = joined ? await loadClaimed(tx, joined) : null;
  const members = await tx.batchEdit.findMany({
    where: { streamId, seq },
    include: { edit: true },
    orderBy: { column: 'asc' },
  });
  return {
    seq,
    parentSeq: supersedes ? supersedes.parentSeq : batch.parentSeq,
    kind: batch.kind as BatchKind,
    edits: members.map((member) => toEdit(member.edit)),
    columns: members.flatMap(({ sourceSeq, sourceColumn, edit }) =>
      sourceSeq === null || sourceColumn === null
        ? []
        : Array.from({ length: edit.width }, (_, i) => ({ seq: sourceSeq, column: sourceColumn + i })),
    ),
    supersedes,
    revocationId: batch.revocationId,
    createdAt: batch.createdAt.toISOString(),
  };
}

/** The claimed batch of a seq. */
export async function loadAt(tx: Transaction, streamId: string, seq: number): Promise<ClaimedBatch> {
  return loadClaimed(tx, await tx.batch.findUniqueOrThrow({ where: { streamId_seq: { streamId, seq } } }));
}

export function batchRecords(db: Database): Pick<Store, 'getClaimedBatch' | 'saveBatchDrift' | 'listBatches'> {
  return {
    async getClaimedBatch(streamId, seq) {
      assertSeq(streamId, seq);
      const batch = await findBatch(db.prisma, await ownerOf(db.prisma, streamId, seq), seq);
      if (!batch) throw unknownPosition(streamId, seq, 'no batch has this seq');
      if (batch.closedReason === 'released') throw unknownPosition(streamId, seq, 'the batch was given up');
      return loadClaimed(db.prisma, batch);
    },

    async saveBatchDrift(streamId, seq, drift) {
      const changed = await db.prisma.batch.updateMany({
        where: { streamId, seq, status: 'committed' },
        data: { drift: drift.map((layer) => ({ ...layer })) },
      });
      if (changed.count === 0) throw unknownPosition(streamId, seq);
    },

    async listBatches(streamId) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const inherited = stream.originSeq ? await partsFor(db.prisma, streamId, stream.originSeq) : [];
      const rows = await db.prisma.batch.findMany({
        where: {
          status: 'committed',
          OR: [{ streamId }, ...inherited.map((part) => ({ streamId: part.streamId, seq: { in: part.seqs } }))],
        },
        include: { _count: { select: { edits: true } } },
        orderBy: { seq: 'asc' },
      });
      const onHead = new Set(await lineageOf(db.prisma, streamId, stream.head));
      return rows.map(
        (row): Batch => ({
          streamId: row.streamId,
          seq: row.seq,
          parentSeq: row.parentSeq,
          kind: row.kind as BatchKind,
          hash: row.hash ?? '',
          edits: row._count.edits,
          onHead: onHead.has(row.seq),
          collected: row.collectedAt !== null,
          seconds: row.seconds as BatchSeconds | null,
          drift: (row.drift ?? []) as unknown as LayerDrift[],
          createdAt: row.createdAt.toISOString(),
          committedAt: row.committedAt?.toISOString() ?? null,
        }),
      );
    },
  };
}

/** The lineage of a position by the streams that hold its batches. @throws ErrataError UNKNOWN_POSITION */
export async function partsFor(tx: Transaction, streamId: string, seq: number): Promise<Part[]> {
  const lineage = await lineageOf(tx, streamId, seq);
  const ownership = await ownershipOf(tx, streamId);
  return ownership ? partsOf(ownership, lineage) : [];
}
