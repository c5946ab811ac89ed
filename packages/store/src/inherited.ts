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
  const lineage = await lineageOf(tx, id, head);
  const kept = lineage.filter((seq) => seq <= originSeq);
  const path = kept.at(-1) === originSeq ? kept : await lineageOf(tx, id, originSeq);
  return { path: partsOf(ownership, path), lineage: partsOf(ownership, lineage), kept };
}

/**
 * SELECT of the inherited edits as the branch sees them. Their rows hold what became of them in the origin; here it follows
 * from the branch's lineage alone, so that neither can change what the other sees. Columns: id, ordinal, key_hash,
 * target_hash, importance, expires_at, merged_from, seq, column, status, reason.
 * @param where what else must hold of the edits `e`
 */
export function inheritedEdits({ path, lineage, kept }: Inheritance, where = Prisma.sql`true`): Prisma.Sql {
  const out = `rolled back to seq ${kept.at(-1) ?? 0}`;
  const written = (parts: readonly Part[]) => Prisma.sql`bool_or(m.source_seq IS NULL AND ${isWithin('m', parts)})`;
  const taken = Prisma.sql`FILTER (WHERE m.source_seq IS NOT NULL AND ${isWithin('m', lineage)})`;
  const here = Prisma.sql`FILTER (WHERE c.on_lineage)`;
  return Prisma.sql`
    SELECT e.id, e.ordinal, e.key_hash, e.target_hash, e.importance, e.expires_at, e.merged_from,
      (COALESCE(w.here, w.there))[1] AS seq, (COALESCE(w.here, w.there))[2] AS "column",
      CASE WHEN w.here IS NULL THEN 'revoked'
           WHEN w.taken_seq IS NULL THEN e.live_status
           WHEN w.replaced_by IS NULL THEN 'revoked' ELSE 'superseded' END AS status,
      CASE WHEN w.here IS NULL THEN ${out}
           WHEN w.taken_seq IS NULL THEN e.live_reason
           WHEN w.replaced_by IS NULL THEN r.reason ELSE 'superseded by ' || w.replaced_by END AS reason
    FROM (
      -- Where each was written last: one may be written again when an earlier one is revoked.
      SELECT c.edit_id, max(ARRAY[c.place, c."column"]) FILTER (WHERE c.on_path) AS there,
        max(ARRAY[c.place, c."column"]) ${here} AS here,
        (array_agg(c.taken_stream ORDER BY c.place DESC) ${here})[1] AS taken_stream,
        (array_agg(c.taken_seq ORDER BY c.place DESC) ${here})[1] AS taken_seq,
        (array_agg(c.replaced_by ORDER BY c.place DESC) ${here})[1] AS replaced_by
      FROM (
        -- Every column once, with the batch that took it out first. One pass: no join that could be done row by row.
        SELECT m.edit_id, COALESCE(m.source_seq, m.seq) AS place, max(m."column") FILTER (WHERE m.source_seq IS NULL) AS "column",
          ${written(path)} AS on_path, ${written(lineage)} AS on_lineage,
          (array_agg(m.stream_id ORDER BY m.seq) ${taken})[1] AS taken_stream,
          min(m.seq) ${taken} AS taken_seq,
          (array_agg(m.replaced_by ORDER BY m.seq) ${taken})[1] AS replaced_by
        FROM batch_edits m WHERE ${isWithin('m', path)} OR ${isWithin('m', lineage)}
        GROUP BY m.edit_id, COALESCE(m.source_seq, m.seq)
      ) c GROUP BY c.edit_id
    ) w JOIN edits e ON e.id = w.edit_id
    LEFT JOIN batches r ON r.stream_id = w.taken_stream AND r.seq = w.taken_seq
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
