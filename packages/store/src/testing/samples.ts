import type { EditInput, EditorConfig, Model, Stream } from '@errata/contracts';
import pg from 'pg';
import type { ClaimedBatch, LogEntry, Matrix, Store } from '../types.js';

/** Shapes of the sample entries. */
const D_IN = 6;
const D_OUT = 4;

export const sampleModel: Model = {
  id: 'sha256:sample',
  name: 'sample',
  architecture: 'llama',
  layers: 12,
  hiddenSize: D_OUT,
  intermediateSize: D_IN,
};

export const sampleConfig: EditorConfig = {
  layers: [3, 5],
  lambda: 0,
  mu: 1,
  covarianceWeight: 1000,
  covarianceTokens: 1000,
  batchSize: 8,
  templates: ['{}'],
  learningRate: 1,
  maxSteps: 10,
  stopLoss: 0.1,
  clamp: 0.5,
  klWeight: 0.1,
  weightDecay: 0.1,
};

export function sampleEdit(subject: string, target: string, overrides: Partial<EditInput> = {}): EditInput {
  return { subject, prompt: '{} is in', target, paraphrases: [], neighbours: [], tags: [], ...overrides };
}

export function sampleMatrix(rows: number, columns: number, seed: number): Matrix {
  const data = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed * 97 + i));
  return { rows, columns, data };
}

export async function sampleStream(store: Store, name: string, config: EditorConfig = sampleConfig): Promise<Stream> {
  await store.registerModel(sampleModel);
  return store.createStream({ name, modelId: sampleModel.id, config });
}

/** An entry whose numbers follow from its place in the log. */
export function sampleEntry(stream: Stream, batch: ClaimedBatch, layer: number, salt = 0): LogEntry {
  const u = batch.edits.length;
  const seed = batch.seq * 31 + layer + salt * 1009;
  return {
    streamId: stream.id,
    seq: batch.seq,
    layer,
    sign: batch.kind === 'apply' ? 1 : -1,
    keys: sampleMatrix(D_IN, u, seed),
    g: sampleMatrix(D_IN, u, seed + 1),
    b: sampleMatrix(D_OUT, u, seed + 2),
    rDiagonal: Array.from({ length: u }, (_, i) => 1 + Math.PI * (seed + i)),
    stats: { seconds: Math.random(), update_norm: seed },
    configHash: stream.configHash,
  };
}

/** Stages all layers of a batch, the revoke it brings along first, and commits it. */
export async function finish(
  store: Store,
  stream: Stream,
  batch: ClaimedBatch,
): Promise<{ head: number; hash: string }> {
  for (const one of batch.supersedes ? [batch.supersedes, batch] : [batch])
    if (one.edits.length > 0)
      for (const layer of stream.config.layers) await store.stageEntry(sampleEntry(stream, one, layer), 1);
  return store.commitBatch(stream.id, batch.seq, { targets: 1, keys: 1, update: 1, total: 3 });
}

/** Enqueues edits and carries them to their commit in one batch. */
export async function write(store: Store, stream: Stream, edits: readonly EditInput[]): Promise<ClaimedBatch> {
  await store.enqueueEdits(stream.id, edits);
  const batch = await store.claimBatch(stream.id, 256);
  if (!batch) throw new Error('nothing was claimed');
  await finish(store, stream, batch);
  return batch;
}

/** Runs SQL as the superuser. */
export async function sql(url: string, text: string, values: unknown[] = []): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(text, values);
  } finally {
    await client.end();
  }
}
