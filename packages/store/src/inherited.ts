import type { Transaction } from './database.js';
import { Prisma } from './generated/client.js';
import { lineageOf } from './lineage.js';
import { isWithin, ownershipOf, type Part, partsOf } from './owners.js';

/** What of a stream the edits that it has from its origin depend on. */
interface Position {
  readonly id: string;
  readonly originSeq: number | null;
  readonly head: number;
}

/** How the edits of an origin appear in a branch at one position. */
export interface Inheritance {
  /** Batches that wrote them. */
  readonly path: readonly Part[];
  /** The lineage of the position. */
  readonly lineage: readonly Part[];
  /** Inherited seqs of that lineage. */
  readonly kept: readonly number[];
}

/** What a branch has from its origin, or null for a stream of its own. */
export async function inheritanceOf(tx: Transaction, { id, originSeq, head }: Position): Promise<Inheritance | null> {
  if (!originSeq) return null;
  const ownership = await ownershipOf(tx, id);
  if (!ownership) return null;
  const path = await lineageOf(tx, id, originSeq);
  const lineage = head === originSeq ? path : await lineageOf(tx, id, head);
  return {
    path: partsOf(ownership, path),
    lineage: partsOf(ownership, lineage),
    kept: lineage.filter((seq) => seq <= originSeq),
  };
}

/**
 * SELECT of the inherited edits as the branch sees them. Their rows hold what became of them in the origin; here it follows
 * from the branch's lineage alone, so that neither can change what the other sees. Columns: id, ordinal, key_hash,
 * target_hash, importance, expires_at, merged_from, seq, column, status, reason.
 * @param where what else must hold of the edits `e`
 */
export function inheritedEdits({ path, lineage, kept }: Inheritance, where = Prisma.sql`true`): Prisma.Sql {
  const out = `rolled back to seq ${kept.at(-1) ?? 0}`;
  const last = (parts: readonly Part[]) =>
    Prisma.sql`max(ARRAY[m.seq, m."column"]) FILTER (WHERE ${isWithin('m', parts)})`;
  return Prisma.sql`
    SELECT e.id, e.ordinal, e.key_hash, e.target_hash, e.importance, e.expires_at, e.merged_from,
      (COALESCE(w.here, w.there))[1] AS seq, (COALESCE(w.here, w.there))[2] AS "column",
      CASE WHEN w.here IS NULL THEN 'revoked'
           WHEN r.seq IS NULL THEN e.live_status
           WHEN r.replaced_by IS NULL THEN 'revoked' ELSE 'superseded' END AS status,
      CASE WHEN w.here IS NULL THEN ${out}
           WHEN r.seq IS NULL THEN e.live_reason
           WHEN r.replaced_by IS NULL THEN r.reason ELSE 'superseded by ' || r.replaced_by END AS reason
    FROM (
      -- Where each was written last: one may be written again when an earlier one is revoked.
      SELECT m.edit_id, ${last(path)} AS there, ${last(lineage)} AS here FROM batch_edits m
      WHERE m.source_seq IS NULL AND (${isWithin('m', path)} OR ${isWithin('m', lineage)}) GROUP BY m.edit_id
    ) w JOIN edits e ON e.id = w.edit_id
    LEFT JOIN (
      SELECT DISTINCT ON (m.edit_id, m.source_seq) m.edit_id, m.source_seq, m.seq, m.replaced_by, b.reason
      FROM batch_edits m JOIN batches b USING (stream_id, seq)
      WHERE m.source_seq IS NOT NULL AND ${isWithin('m', lineage)} ORDER BY m.edit_id, m.source_seq, m.seq
    ) r ON r.edit_id = e.id AND r.source_seq = w.here[1]
    WHERE w.there IS NOT NULL AND ${where}`;
}

interface Shown {
  readonly id: string;
  readonly status: string;
  readonly reason: string | null;
  readonly seq: number;
  readonly column: number;
}

/** Status, reason and column of inherited edits by id. */
export async function inheritedStatuses(
  tx: Transaction,
  inheritance: Inheritance,
  where?: Prisma.Sql,
): Promise<Map<string, Shown>> {
  const rows = await tx.$queryRaw<Shown[]>(
    Prisma.sql`SELECT id, status, reason, seq, "column" FROM (${inheritedEdits(inheritance, where)}) i ORDER BY ordinal`,
  );
  return new Map(rows.map((row) => [row.id, row]));
}
