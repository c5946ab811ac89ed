import { type EditorConfig, ErrataError, type Stream } from '@errata/contracts';
import { type ModelRuntime, placeShard, type ShardWorker } from '@errata/rpc';
import type { Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';
import type { ActivityMetrics } from '../metrics.js';

/** What the activities work with. */
export interface Dependencies {
  readonly store: Store;
  readonly runtime: ModelRuntime;
  readonly shards: readonly ShardWorker[];
  readonly logger: Logger;
  readonly metrics: ActivityMetrics;
}

/** Longest call to a shard worker: catching up with a long log included. */
export const shardTimeoutMs = 10 * 60_000;
/** Longest short call to the model runtime. */
export const runtimeTimeoutMs = 10 * 60_000;
/** Longest target search or covariance of one call. */
export const longTimeoutMs = 5 * 3_600_000;

/** The worker that owns a layer's shard, and the epoch under which it may write. */
export async function acquireShard(
  { store, shards }: Dependencies,
  stream: Stream,
  layer: number,
): Promise<{ worker: ShardWorker; epoch: number }> {
  const worker = placeShard(stream.id, stream.config.layers.indexOf(layer), shards);
  const { epoch } = await store.acquireShard(stream.id, layer, worker.address);
  return { worker, epoch };
}

/** The configuration as model-runtime takes it. */
export function configJson(config: EditorConfig): string {
  return JSON.stringify(config);
}

/** Seconds since a `performance.now()` reading. */
export function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

/** Index of a layer among the edited ones. @throws INVALID_REQUEST */
export function layerIndex(stream: Stream, layer: number): number {
  const index = stream.config.layers.indexOf(layer);
  if (index < 0) throw new ErrataError('INVALID_REQUEST', `layer ${layer} is not edited by stream ${stream.id}`);
  return index;
}
