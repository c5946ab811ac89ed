import type { EditSelection } from '@errata/contracts';
import { partsFor } from './batch-records.js';
import { columnsOf } from './claim-revoke.js';
import type { Transaction } from './database.js';
import { Prisma, type Stream } from './generated/client.js';
import { type Placement, placedColumns, placementsAt } from './placements.js';

/** What a selection means at a head. */
export interface Selected {
  /** Columns in the weights, in the order of the log. */
  readonly placed: readonly Placement[];
  /** Edits not yet written, by ordinal: none where edits are named or a time of commit is asked for. */
  readonly queued: readonly string[];
}

/**
 * The edits of a stream that a selection means. Edits that are named have to be in the weights.
 * @throws ErrataError UNKNOWN_EDIT, EDIT_NOT_REVOCABLE
 */
export async function select(tx: Transaction, stream: Stream, selection: EditSelection): Promise<Selected> {
  const conditions = conditionsOf(selection);
  if (selection.edits !== undefined) {
    const named = [...new Set(selection.edits)];
    const met = await tx.$queryRaw<{ id: string }[]>(
      Prisma.sql`SELECT e.id FROM edits e WHERE e.id = ANY(${named}) AND ${conditions}`,
    );
    const known = await tx.$queryRaw<{ id: string }[]>`SELECT id FROM edits WHERE id = ANY(${named})`;
    const wanted = new Set(met.map((edit) => edit.id));
    // One that no stream has fails there, by name.
    for (const id of named) if (!known.some((edit) => edit.id === id)) wanted.add(id);
    return { placed: await columnsOf(tx, stream, [...wanted]), queued: [] };
  }
  const placed = await tx.$queryRaw<{ edit_id: string; seq: number; column: number }[]>(
    Prisma.sql`SELECT p.* FROM (${placedColumns(await partsFor(tx, stream.id, stream.head))}) p JOIN edits e ON e.id = p.edit_id
      WHERE ${conditions} ORDER BY p.seq, p."column"`,
  );
  const queued = selection.committed
    ? []
    : await tx.$queryRaw<{ id: string }[]>(
        Prisma.sql`SELECT e.id FROM edits e WHERE e.stream_id = ${stream.id} AND e.status IN ('queued', 'resolved')
          AND ${conditions} ORDER BY e.ordinal`,
      );
  return {
    placed: placed.map(({ edit_id, seq, column }) => ({ editId: edit_id, seq, column })),
    queued: queued.map((edit) => edit.id),
  };
}

/**
 * Edits written after the first of some columns, in the order of the log: their targets were found on weights with it. An
 * adapter has none.
 */
export async function writtenAfter(tx: Transaction, stream: Stream, removed: readonly Placement[]): Promise<string[]> {
  if (removed.length === 0) return [];
  const first = removed.reduce((least, { seq }) => Math.min(least, seq), Number.POSITIVE_INFINITY);
  const gone = new Set(removed.map((column) => column.editId));
  const placed = await placementsAt(tx, stream.id, stream.head);
  const later = placed.filter(({ editId, seq }) => seq > first && !gone.has(editId)).map((column) => column.editId);
  const adapters = await tx.edit.findMany({
    where: { id: { in: later }, adapterId: { not: null } },
    select: { id: true },
  });
  return later.filter((id) => !adapters.some((adapter) => adapter.id === id));
}

function conditionsOf({ tags, sources, created, committed }: EditSelection): Prisma.Sql {
  const conditions: Prisma.Sql[] = [Prisma.sql`true`];
  if (tags) conditions.push(Prisma.sql`e.tags && ${tags}::text[]`);
  if (sources) conditions.push(Prisma.sql`e.source = ANY(${sources})`);
  if (created) conditions.push(...within(Prisma.sql`e.created_at`, created));
  if (committed) {
    // When it was first written: one that was written again for new targets is no younger for it.
    const first = Prisma.sql`(
      SELECT min(b.committed_at) FROM batch_edits w JOIN batches b USING (stream_id, seq)
      WHERE w.edit_id = e.id AND w.source_seq IS NULL)`;
    conditions.push(...within(first, committed));
  }
  return Prisma.join(conditions, ' AND ');
}

function within(moment: Prisma.Sql, { from, before }: NonNullable<EditSelection['created']>): Prisma.Sql[] {
  return [
    ...(from === undefined ? [] : [Prisma.sql`${moment} >= ${from}::timestamptz`]),
    ...(before === undefined ? [] : [Prisma.sql`${moment} < ${before}::timestamptz`]),
  ];
}
