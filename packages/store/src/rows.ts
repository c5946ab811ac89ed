import type { Baseline, Checkpoint, Edit, EditorConfig, EditStatus, Stream, StreamStatus } from '@errata/contracts';
import type * as Rows from './generated/client.js';

/** An edit as the API shows it. */
export function toEdit(row: Rows.Edit): Edit {
  return {
    id: row.id,
    streamId: row.streamId,
    ordinal: row.ordinal,
    subject: row.subject,
    prompt: row.prompt,
    target: row.target,
    paraphrases: row.paraphrases,
    neighbours: row.neighbours,
    source: row.source,
    tags: row.tags,
    importance: row.importance,
    status: row.status as EditStatus,
    reason: row.reason,
    seq: row.seq,
    column: row.column,
    baseline: row.baseline as Baseline | null,
    answer: row.answer,
    mergedFrom: row.mergedFrom,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    adapter: row.adapterId,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

/** A stream as the API shows it. */
export function toStream(row: Rows.Stream, modelName: string, counts: Stream['counts']): Stream {
  return {
    id: row.id,
    name: row.name,
    modelId: row.modelId,
    modelName,
    config: row.config as unknown as EditorConfig,
    configHash: row.configHash,
    status: row.status as StreamStatus,
    statusDetail: row.statusDetail,
    head: row.head,
    headHash: row.headHash,
    origin:
      row.originStreamId === null || row.originSeq === null
        ? null
        : { streamId: row.originStreamId, seq: row.originSeq },
    createdAt: row.createdAt.toISOString(),
    counts,
  };
}

export function toCheckpoint(row: Rows.Checkpoint): Checkpoint {
  return {
    streamId: row.streamId,
    name: row.name,
    seq: row.seq,
    hash: row.hash,
    createdAt: row.createdAt.toISOString(),
  };
}
