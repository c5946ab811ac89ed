import type { LayerDrift, StreamStatus } from '@errata/contracts';
import type { Database } from './database.js';
import type { Store } from './types.js';

interface StreamRow {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly head: number;
  readonly queued: number;
  readonly resolved: number;
  readonly oldest: number | null;
  readonly drift: LayerDrift[] | null;
}

interface EvaluationRow {
  readonly stream_id: string;
  readonly id: string;
}

interface ReportRow {
  readonly id: string;
  readonly rewrite: number | null;
  readonly paraphrase: number | null;
  readonly neighbours: number | null;
  readonly before: number | null;
  readonly after: number | null;
}

/**
 * Reads what monitoring shows of streams. Every part goes by an index: its cost follows the streams and what waits in
 * them, not the edits they have taken.
 */
export function figureRecords(
  db: Database,
): Pick<Store, 'streamFigures' | 'newestEvaluations' | 'evaluationFigures' | 'storageBytes'> {
  return {
    async streamFigures() {
      const rows = await db.prisma.$queryRaw<StreamRow[]>`
        SELECT s.id, s.name, s.status, s.head, q.queued, q.resolved, q.oldest, b.drift
        FROM streams s
        CROSS JOIN LATERAL (
          SELECT count(*) FILTER (WHERE e.status = 'queued')::int AS queued,
                 count(*) FILTER (WHERE e.status = 'resolved')::int AS resolved,
                 extract(epoch FROM now() - min(e.created_at) FILTER (WHERE e.status = 'queued'))::float8 AS oldest
          FROM edits e WHERE e.stream_id = s.id AND e.status IN ('queued', 'resolved')) q
        LEFT JOIN LATERAL (
          SELECT b.drift FROM batches b
          WHERE b.stream_id = s.id AND b.seq <= s.head AND b.status = 'committed' AND b.drift IS NOT NULL
          ORDER BY b.seq DESC LIMIT 1) b ON true
        ORDER BY s.created_at DESC, s.id`;
      return rows.map(({ id, name, status, head, queued, resolved, oldest, drift }) => ({
        streamId: id,
        name,
        status: status as StreamStatus,
        head,
        queued,
        resolved,
        oldestQueuedSeconds: oldest === null ? 0 : Math.max(0, oldest),
        drift: drift ?? [],
      }));
    },

    async newestEvaluations() {
      const rows = await db.prisma.$queryRaw<EvaluationRow[]>`
        SELECT DISTINCT ON (stream_id) stream_id, id FROM evaluations
        WHERE status = 'done' ORDER BY stream_id, created_at DESC, id DESC`;
      return new Map(rows.map((row) => [row.stream_id, row.id]));
    },

    async evaluationFigures(ids) {
      const rows = await db.prisma.$queryRaw<ReportRow[]>`
        SELECT id, (report->>'rewriteAfter')::float8 AS rewrite, (report->>'paraphraseAfter')::float8 AS paraphrase,
          (report->>'neighboursKept')::float8 AS neighbours, (report->>'perplexityBefore')::float8 AS before,
          (report->>'perplexityAfter')::float8 AS after
        FROM evaluations WHERE id = ANY(${[...ids]})`;
      return new Map(
        rows.map(({ id, rewrite, paraphrase, neighbours, before, after }) => [
          id,
          {
            rewriteAfter: rewrite,
            paraphraseAfter: paraphrase,
            neighboursKept: neighbours,
            perplexityBefore: before,
            perplexityAfter: after,
          },
        ]),
      );
    },

    async storageBytes() {
      const [row] = await db.prisma.$queryRaw<{ log: number; database: number }[]>`
        SELECT sum(pg_total_relation_size(relid))::float8 AS log, pg_database_size(current_database())::float8 AS database
        FROM pg_partition_tree('log_entries')`;
      return row;
    },
  };
}
