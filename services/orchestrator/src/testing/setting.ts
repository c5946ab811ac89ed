import { type EditInput, type EditorConfig, ErrataError, type Stream } from '@errata/contracts';
import {
  type ApplyQuery,
  type DenseMatrix,
  encodeTensor,
  type Fleet,
  type ImportQuery,
  type LayerUpdate,
  type RevokeQuery,
  type ShardWorker,
  watchFleet,
} from '@errata/rpc';
import type { ClaimedBatch, Store } from '@errata/store';
import { createLogger, createRegistry } from '@errata/telemetry';
import type { Dependencies } from '../activities/context.js';
import { createMetrics } from '../metrics.js';

const inputs = 6;
const outputs = 4;

const config: EditorConfig = {
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

export function matrix(rows: number, columns: number, seed: number): DenseMatrix {
  return { rows, columns, data: Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed * 97 + i)) };
}

/** What a worker answers to a batch of so many columns; no two workers answer the same. */
export function updateOf(address: string, columns: number): LayerUpdate {
  const seed = address.charCodeAt(0);
  return {
    keys: matrix(inputs, columns, seed),
    g: matrix(inputs, columns, seed + 1),
    b: matrix(outputs, columns, seed + 2),
    stats: {
      rDiagonal: Array.from({ length: columns }, (_, i) => 1 + i),
      keyNorm: 1,
      residualNorm: 1,
      updateNorm: 1,
      lambdaMin: 1,
      seconds: 0,
      byInversion: false,
    },
  };
}

/** The failure of a call whose peer went away. */
export function lost(address: string): ErrataError {
  return new ErrataError('NOT_READY', `shard-worker ${address} is not reachable`, { cause: { code: 14 } });
}

/** A shard worker that writes down what it is asked. Single methods may be replaced. */
export interface RecordingWorker extends ShardWorker {
  readonly applied: ApplyQuery[];
  readonly imported: ImportQuery[];
  readonly revoked: RevokeQuery[];
}

export function recordingWorker(address: string): RecordingWorker {
  const applied: ApplyQuery[] = [];
  const imported: ImportQuery[] = [];
  const revoked: RevokeQuery[] = [];
  const unused = () => Promise.reject(new Error('not part of this test'));
  return {
    address,
    applied,
    imported,
    revoked,
    apply: async (query) => {
      applied.push(query);
      return updateOf(address, query.keys.columns);
    },
    import: async (query) => {
      imported.push(query);
      const { stats } = updateOf(address, query.g.columns);
      return { keys: { rows: inputs, columns: 0, data: new Float32Array(0) }, g: query.g, b: query.b, stats };
    },
    revoke: async (query) => {
      revoked.push(query);
      return updateOf(address, query.columns.length);
    },
    prepare: unused,
    product: unused,
    stats: unused,
    materialize: unused,
    distance: unused,
    verify: unused,
    refresh: unused,
    fold: unused,
    close: () => {},
  };
}

export interface Setting extends Dependencies {
  /** Workers that do not answer health checks. */
  readonly away: Set<string>;
  readonly workers: readonly RecordingWorker[];
  /** Streams that asked for covariances, with what they asked for. */
  readonly joined: Parameters<Dependencies['covariances']['join']>[];
}

/** The activities' dependencies on a real store; the model answers fixed values, the workers write down what they are asked. */
export function settingOn(store: Store, addresses: readonly string[] = ['a:1', 'b:1']): Setting {
  const away = new Set<string>();
  const workers = addresses.map(recordingWorker);
  const fleet: Fleet<ShardWorker> = watchFleet<ShardWorker>({
    addresses,
    connect: (address) => workers.find((worker) => worker.address === address) as RecordingWorker,
    intervalMs: 5,
    onChange: () => {},
    healthOf: ({ address }) => ({
      check: async () => {
        if (away.has(address)) throw lost(address);
      },
      close: () => {},
    }),
  });
  const runtime = {
    computeKeys: async ({ edits }: { edits: readonly unknown[] }) => ({
      keys: encodeTensor(matrix(inputs, edits.length, 1)),
      hidden: encodeTensor(matrix(outputs, edits.length, 2)),
    }),
  } as unknown as Dependencies['runtime'];
  const logger = createLogger('orchestrator', 'silent');
  const metrics = createMetrics(createRegistry('orchestrator'));
  const joined: Setting['joined'] = [];
  const covariances: Dependencies['covariances'] = { join: async (...asked) => void joined.push(asked) };
  return {
    store,
    runtime,
    fleet,
    covariances,
    publishing: { targets: [] },
    receivers: [],
    logger,
    metrics,
    away,
    workers,
    joined,
  };
}

let streams = 0;

export async function newStream(store: Store, changes: Partial<EditorConfig> = {}): Promise<Stream> {
  const model = {
    id: 'sha256:sample',
    name: 'sample',
    architecture: 'llama',
    layers: 12,
    hiddenSize: outputs,
    intermediateSize: inputs,
  };
  await store.registerModel(model);
  return store.createStream({ name: `stream ${streams++}`, modelId: model.id, config: { ...config, ...changes } });
}

/** A claimed batch with targets, of one edit an importance. */
export async function claimedBatch(
  store: Store,
  stream: Stream,
  importances: readonly number[],
): Promise<ClaimedBatch> {
  const edits = importances.map(
    (importance, i): EditInput => ({
      subject: `subject ${i}`,
      prompt: '{} is in',
      target: 'x',
      paraphrases: [],
      neighbours: [],
      tags: [],
      importance,
    }),
  );
  await store.enqueueEdits(stream.id, edits);
  const batch = await store.claimBatch(stream.id, 256);
  if (!batch) throw new Error('nothing was claimed');
  await store.saveTargets(stream.id, batch.seq, matrix(outputs, edits.length, 3));
  return batch;
}

/** A stream with three edits in one committed batch. */
export async function committedStream(store: Store): Promise<Stream> {
  const stream = await newStream(store);
  const batch = await claimedBatch(store, stream, [1, 1, 1]);
  const place = { streamId: stream.id, seq: batch.seq, sign: 1 as const, configHash: stream.configHash };
  for (const layer of stream.config.layers) {
    const factors = {
      keys: matrix(inputs, 3, layer),
      g: matrix(inputs, 3, layer + 1),
      b: matrix(outputs, 3, layer + 2),
    };
    await store.stageEntry({ ...place, layer, ...factors, rDiagonal: [1, 1, 1], stats: {} }, 1);
  }
  await store.commitBatch(stream.id, batch.seq, { targets: 1, keys: 1, update: 1, total: 1 });
  return stream;
}
