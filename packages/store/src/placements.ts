import { partsFor } from './batch-records.js';
import type { Transaction } from './database.js';
import { Prisma } from './generated/client.js';
import { isWithin, type Part } from './owners.js';

/** A column that is in the weights at the end of a lineage, and the edit it was written for. */
export interface Placement {
  readonly editId: string;
  readonly seq: number;
  readonly column: number;
}

/**
 * Rows `(edit_id, seq, column)` of all columns in the weights at the end of a lineage: written and not taken out. One pass
 * over the lineage, whatever the planner believes of it.
 */
export function placedColumns(lineage: readonly Part[]): Prisma.Sql {
  return Prisma.sql`
    SELECT c.edit_id, c.seq, c."column" FROM (
      SELECT m.edit_id, m.seq, m."column", m.source_seq,
        bool_or(m.source_seq IS NOT NULL) OVER (PARTITION BY m.edit_id, COALESCE(m.source_seq, m.seq)) AS taken
      FROM batch_edits m WHERE ${isWithin('m', lineage)}) c
    WHERE c.source_seq IS NULL AND NOT c.taken`;
}

/** Columns in the weights at a position, in the order of the log; of the given edits only, where they are given. */
export async function placementsAt(
  tx: Transaction,
  streamId: string,
  seq: number,
  editIds?: readonly string[],
): Promise<Placement[]> {
  const lineage = await partsFor(tx, streamId, seq);
  const chosen = editIds ? Prisma.sql`WHERE p.edit_id = ANY(${[...editIds]})` : Prisma.empty;
  const rows = await tx.$queryRaw<{ edit_id: string; seq: number; column: number }[]>(
    Prisma.sql`SELECT p.* FROM (${placedColumns(lineage)}) p ${chosen} ORDER BY p.seq, p."column"`,
  );
  return rows.map(({ edit_id, seq: at, column }) => ({ editId: edit_id, seq: at, column }));
}
