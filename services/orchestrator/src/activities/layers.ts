import { ErrataError, type Stream } from '@errata/contracts';
import { type DenseMatrix, decodeTensor, type LayerUpdate } from '@errata/rpc';
import type { ClaimedBatch, LogEntry, Matrix } from '@errata/store';
import {
  acquireShard,
  configJson,
  type Dependencies,
  layerIndex,
  longTimeoutMs,
  runtimeTimeoutMs,
  secondsSince,
  shardTimeoutMs,
} from './context.js';
import { adapterOf, editText, parentState } from './resolve.js';
import { weightsOf } from './weights.js';

/** An entry of the log as it was computed, and the epoch to write it under. */
export interface ComputedEntry {
  readonly entry: LogEntry;
  readonly epoch: number;
}

/** Writes one layer of a batch: keys and residual from the model, factors from the shard, the entry into the log. */
export async function applyLayer(
  dependencies: Dependencies,
  streamId: string,
  seq: number,
  layer: number,
  signal: AbortSignal,
): Promise<{ keysSeconds: number; updateSeconds: number }> {
  const { store, metrics } = dependencies;
  const staged = await store.stagedLayers(streamId, seq);
  if (staged.includes(layer)) return { keysSeconds: 0, updateSeconds: 0 };
  const stream = await store.getStream(streamId);
  const batch = await store.getClaimedBatch(streamId, seq);
  const { entry, epoch, keysSeconds, startedUpdate } = await computeApply(dependencies, stream, batch, layer, signal);
  await store.stageEntry(entry, epoch);
  const updateSeconds = secondsSince(startedUpdate);
  metrics.layerSeconds.observe({ step: 'keys' }, keysSeconds);
  metrics.layerSeconds.observe({ step: 'update' }, updateSeconds);
  return { keysSeconds, updateSeconds };
}

/** What a batch that is an adapter does to one layer: its factors, whose keys the shard finds. */
async function computeImport(
  dependencies: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  { layer, adapter }: { readonly layer: number; readonly adapter: string },
  signal: AbortSignal,
): Promise<ComputedEntry & { keysSeconds: number; startedUpdate: number }> {
  const { store, fleet } = dependencies;
  const startedUpdate = performance.now();
  const { own } = await store.getAdapter(adapter);
  const { g, b } = await store.readAdapterLayer(adapter, layer);
  const { placement, epoch } = await acquireShard(dependencies, stream, layer);
  const state = parentState(stream, batch);
  const update = await fleet.watch(placement, ({ owner, peers }) =>
    owner.import({ state, layer, epoch, g, b, own, peers }, { timeoutMs: longTimeoutMs, signal }),
  );
  const place = { streamId: stream.id, seq: batch.seq, layer, sign: 1 as const, configHash: stream.configHash };
  return { entry: { ...place, ...recorded(update) }, epoch, keysSeconds: 0, startedUpdate };
}

/** What an apply batch does to one layer; the log stays as it is. */
export async function computeApply(
  dependencies: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  layer: number,
  signal: AbortSignal,
): Promise<ComputedEntry & { keysSeconds: number; startedUpdate: number }> {
  const { store, runtime, fleet } = dependencies;
  const { seq } = batch;
  const adapter = adapterOf(batch);
  if (adapter !== null) return computeImport(dependencies, stream, batch, { layer, adapter }, signal);
  const index = layerIndex(stream, layer);
  const targets = await store.readTargets(stream.id, seq);
  if (!targets) throw new ErrataError('INTERNAL', `batch ${seq} has no targets yet`);

  const start = performance.now();
  const response = await runtime.computeKeys(
    {
      state: parentState(stream, batch, stream.config.layers.slice(0, index)),
      configJson: configJson(stream.config),
      layer,
      edits: batch.edits.map(editText),
    },
    { timeoutMs: runtimeTimeoutMs, signal },
  );
  const keys = decodeTensor(response.keys, 'keys');
  const residual = spread(targets, decodeTensor(response.hidden, 'hidden'), stream.config.layers.length - index);
  const keysSeconds = secondsSince(start);

  const startedUpdate = performance.now();
  const { placement, epoch } = await acquireShard(dependencies, stream, layer);
  const state = parentState(stream, batch);
  const weights = weightsOf(stream, seq, batch.edits);
  const update = await fleet.watch(placement, ({ owner, peers }) =>
    owner.apply({ state, layer, epoch, keys, residual, weights, peers }, { timeoutMs: shardTimeoutMs, signal }),
  );
  const place = { streamId: stream.id, seq, layer, sign: 1 as const, configHash: stream.configHash };
  return { entry: { ...place, ...recorded(update) }, epoch, keysSeconds, startedUpdate };
}

/** Takes the columns of a revoke batch out of one layer. */
export async function revokeLayer(
  dependencies: Dependencies,
  streamId: string,
  seq: number,
  layer: number,
  signal: AbortSignal,
): Promise<{ updateSeconds: number }> {
  const { store } = dependencies;
  if ((await store.stagedLayers(streamId, seq)).includes(layer)) return { updateSeconds: 0 };
  const start = performance.now();
  const stream = await store.getStream(streamId);
  const batch = await store.getClaimedBatch(streamId, seq);
  const { entry, epoch } = await computeRevoke(dependencies, stream, batch, layer, signal);
  await store.stageEntry(entry, epoch);
  return { updateSeconds: secondsSince(start) };
}

/** What a revoke batch does to one layer; the log stays as it is. */
export async function computeRevoke(
  dependencies: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  layer: number,
  signal: AbortSignal,
): Promise<ComputedEntry> {
  const { placement, epoch } = await acquireShard(dependencies, stream, layer);
  const state = parentState(stream, batch);
  const update = await dependencies.fleet.watch(placement, ({ owner, peers }) =>
    owner.revoke({ state, layer, epoch, columns: batch.columns, peers }, { timeoutMs: shardTimeoutMs, signal }),
  );
  const place = { streamId: stream.id, seq: batch.seq, layer, sign: -1 as const, configHash: stream.configHash };
  return { entry: { ...place, ...recorded(update) }, epoch };
}

/** (z − z_cur) / layers left: the share of the residual that one layer takes (docs/architecture.md, section 2). */
function spread(targets: Matrix, hidden: DenseMatrix, layersLeft: number): DenseMatrix {
  if (targets.rows !== hidden.rows || targets.columns !== hidden.columns)
    throw new ErrataError(
      'INVALID_TENSOR',
      `targets are ${targets.rows} × ${targets.columns}, the hidden state is ${hidden.rows} × ${hidden.columns}`,
    );
  return {
    rows: hidden.rows,
    columns: hidden.columns,
    data: hidden.data.map((value, i) => (targets.data[i] - value) / layersLeft),
  };
}

/** What an update leaves in the log: its keys are those of the shard, scaled by the root of their weights. */
function recorded({ keys, g, b, stats }: LayerUpdate) {
  const { rDiagonal, keyNorm, residualNorm, updateNorm, lambdaMin, seconds, byInversion } = stats;
  const figures = { keyNorm, residualNorm, updateNorm, lambdaMin, seconds, byInversion: byInversion ? 1 : 0 };
  return { keys, g, b, rDiagonal, stats: figures };
}
