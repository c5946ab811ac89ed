import { ErrataError } from '@errata/contracts';
import { type DenseMatrix, decodeTensor, encodeTensor, type UpdateStats } from '@errata/rpc';
import type { Matrix } from '@errata/store';
import {
  acquireShard,
  configJson,
  type Dependencies,
  layerIndex,
  runtimeTimeoutMs,
  secondsSince,
  shardTimeoutMs,
} from './context.js';
import { editText, parentState } from './resolve.js';

/** Writes one layer of a batch: keys and residual from the model, factors from the shard, the entry into the log. */
export async function applyLayer(
  dependencies: Dependencies,
  streamId: string,
  seq: number,
  layer: number,
  signal: AbortSignal,
): Promise<{ keysSeconds: number; updateSeconds: number }> {
  const { store, runtime, metrics } = dependencies;
  const staged = await store.stagedLayers(streamId, seq);
  if (staged.includes(layer)) return { keysSeconds: 0, updateSeconds: 0 };
  const stream = await store.getStream(streamId);
  const index = layerIndex(stream, layer);
  const batch = await store.getClaimedBatch(streamId, seq);
  const targets = await store.readTargets(streamId, seq);
  if (!targets) throw new ErrataError('INTERNAL', `batch ${seq} has no targets yet`);

  let start = performance.now();
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

  start = performance.now();
  const { worker, epoch } = await acquireShard(dependencies, stream, layer);
  const update = await worker.apply(
    { state: parentState(stream, batch), layer, epoch, keys: encodeTensor(keys), residual: encodeTensor(residual) },
    { timeoutMs: shardTimeoutMs, signal },
  );
  await store.stageEntry(
    {
      streamId,
      seq,
      layer,
      sign: 1,
      keys,
      g: decodeTensor(update.g, 'g'),
      b: decodeTensor(update.b, 'b'),
      rDiagonal: update.stats?.rDiagonal ?? [],
      stats: numbers(update.stats),
      configHash: stream.configHash,
    },
    epoch,
  );
  const updateSeconds = secondsSince(start);
  metrics.layerSeconds.observe({ step: 'keys' }, keysSeconds);
  metrics.layerSeconds.observe({ step: 'update' }, updateSeconds);
  return { keysSeconds, updateSeconds };
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
  const { worker, epoch } = await acquireShard(dependencies, stream, layer);
  const update = await worker.revoke(
    { state: parentState(stream, batch), layer, epoch, columns: batch.columns.map((column) => ({ ...column })) },
    { timeoutMs: shardTimeoutMs, signal },
  );
  await store.stageEntry(
    {
      streamId,
      seq,
      layer,
      sign: -1,
      keys: decodeTensor(update.keys, 'keys'),
      g: decodeTensor(update.g, 'g'),
      b: decodeTensor(update.b, 'b'),
      rDiagonal: update.stats?.rDiagonal ?? [],
      stats: numbers(update.stats),
      configHash: stream.configHash,
    },
    epoch,
  );
  return { updateSeconds: secondsSince(start) };
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

function numbers(stats: UpdateStats | undefined): Record<string, number> {
  if (!stats) return {};
  const { keyNorm, residualNorm, updateNorm, lambdaMin, seconds } = stats;
  return { keyNorm, residualNorm, updateNorm, lambdaMin, seconds };
}
