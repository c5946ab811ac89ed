import { ErrataError, type Evaluation, newId } from '@errata/contracts';
import type { Database } from './database.js';
import type { Evaluation as EvaluationRow, Prisma } from './generated/client.js';
import { positionHash } from './lineage.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

type Report = Omit<Evaluation, 'id' | 'streamId' | 'seq' | 'status' | 'createdAt'>;

const NOTHING_MEASURED: Report = {
  detail: null,
  rewriteBefore: null,
  rewriteAfter: null,
  paraphraseAfter: null,
  neighboursKept: null,
  perplexityBefore: null,
  perplexityAfter: null,
  drift: [],
  edits: [],
};

function toEvaluation(row: EvaluationRow): Evaluation {
  const { id, streamId, seq } = row;
  const status = row.status as Evaluation['status'];
  return { ...(row.report as unknown as Report), id, streamId, seq, status, createdAt: row.createdAt.toISOString() };
}

export function evaluationRecords(db: Database): Pick<Store, 'createEvaluation' | 'saveEvaluation' | 'getEvaluation'> {
  const json = (report: Report) => storable(report) as unknown as Prisma.InputJsonObject;
  const unknown = (streamId: string, id: string) =>
    new ErrataError('UNKNOWN_EVALUATION', `stream ${streamId} has no evaluation ${JSON.stringify(id.slice(0, 100))}`);

  return {
    async createEvaluation(streamId, seq) {
      await positionHash(db.prisma, streamId, seq);
      const row = await db.prisma.evaluation.create({
        data: { id: newId('evl'), streamId, seq, status: 'running', report: json(NOTHING_MEASURED) },
      });
      return toEvaluation(row);
    },

    async saveEvaluation({ id, streamId, seq: _seq, status, createdAt: _createdAt, ...report }) {
      const changed = await db.prisma.evaluation.updateMany({
        where: { id, streamId },
        data: { status, report: json(report) },
      });
      if (changed.count === 0) throw unknown(streamId, id);
    },

    async getEvaluation(streamId, evaluationId) {
      assertStorable({ evaluation: evaluationId });
      const row = await db.prisma.evaluation.findFirst({ where: { id: evaluationId, streamId } });
      if (!row) throw unknown(streamId, evaluationId);
      return toEvaluation(row);
    },
  };
}
