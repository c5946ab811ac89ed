import { type EditSelection, headChange, type LayerDeviation, type Revocation } from '@errata/contracts';
import type { Transaction } from './database.js';
import type { Batch, Revocation as Row } from './generated/client.js';
import { removalsAt } from './layer-removals.js';

/** A revocation as the API shows it: how far it is follows from its committed batches. */
export async function toRevocation(tx: Transaction, row: Row): Promise<Revocation> {
  const batches = await tx.batch.findMany({
    where: { revocationId: row.id, status: 'committed' },
    include: { _count: { select: { edits: true } } },
    orderBy: { seq: 'asc' },
  });
  const removals = await removalsAt(
    tx,
    row.streamId,
    batches.filter((batch) => batch.kind === 'revoke').map((batch) => batch.seq),
  );
  const own = batches.filter((batch) => batch.joinedSeq === null);
  const written = (kind: string) =>
    own.filter((batch) => batch.kind === kind).reduce((sum, batch) => sum + batch._count.edits, 0);
  const { head, headHash } =
    row.head !== null && row.headHash !== null
      ? { head: row.head, headHash: row.headHash }
      : await tx.stream.findUniqueOrThrow({ where: { id: row.streamId } });
  const revoked = { done: written('revoke'), total: row.editIds.length };
  return {
    ...headChange(head, headHash, row.editIds),
    changed: revoked.done + row.withdrawn,
    id: row.id,
    streamId: row.streamId,
    cause: row.cause as Revocation['cause'],
    status: row.status as Revocation['status'],
    selection: row.selection as EditSelection,
    reason: row.reason,
    retarget: row.retarget,
    verify: row.verify,
    revoked,
    retargeted: { done: written('apply'), total: row.retargetIds.length },
    withdrawn: row.withdrawn,
    batches: own.map((batch) => ({
      seq: batch.seq,
      kind: batch.kind === 'revoke' ? 'revoke' : 'retarget',
      edits: batch._count.edits,
      layers: removals.get(removalSeqOf(batch, batches)) ?? [],
    })),
    deviation: row.deviation as LayerDeviation[] | null,
    failure: row.failure as Revocation['failure'],
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}

/** The batch that took columns out: itself, or the revoke that it brought along. */
function removalSeqOf(batch: Batch, all: readonly Batch[]): number {
  return batch.kind === 'revoke' ? batch.seq : (all.find((one) => one.joinedSeq === batch.seq)?.seq ?? batch.seq);
}
