import { type EditorConfig, ErrataError, type Stream } from '@errata/contracts';
import type { Fleet, ModelRuntime, Placement, ShardWorker } from '@errata/rpc';
import type { Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';
import type { CovarianceRuns } from '../covariance-runs.js';
import type { ActivityMetrics } from '../metrics.js';
import type { Publishing } from '../publishing/target.js';
import type { SnapshotPolicy } from '../snapshot-policy.js';
import type { WebhookReceiver } from '../webhooks/receiver.js';

/** What the activities work with. */
export interface Dependencies {
  readonly store: Store;
  readonly runtime: ModelRuntime;
  readonly fleet: Fleet<ShardWorker>;
  readonly covariances: CovarianceRuns;
  /** Asked after every commit; no snapshots by themselves when left out. */
  readonly snapshots?: SnapshotPolicy;
  readonly publishing: Publishing;
  /** WEBHOOK_TARGETS */
  readonly receivers: readonly WebhookReceiver[];
  readonly logger: Logger;
  readonly metrics: ActivityMetrics;
}

/** Longest call to a shard worker: catching up with a long log included. */
export const shardTimeoutMs = 10 * 60_000;
/** Longest short call to the model runtime. */
export const runtimeTimeoutMs = 10 * 60_000;
/** Longest target search or slice of a covariance of one call. */
export const longTimeoutMs = 5 * 3_600_000;

/** Where the shards of a layer are now, for reading. @throws NOT_READY when no worker is up */
export function placeLayer({ fleet }: Dependencies, stream: Stream, layer: number): Placement<ShardWorker> {
  return fleet.place(stream.id, layerIndex(stream, layer), stream.config.rowShards);
}

/**
 * Where the shards of a layer are now, and the epoch under which they may write: it grows when any of them has moved, so
 * that whoever still works on the earlier placement is refused by the log.
 */
export async function acquireShard(
  dependencies: Dependencies,
  stream: Stream,
  layer: number,
): Promise<{ placement: Placement<ShardWorker>; epoch: number }> {
  const placement = placeLayer(dependencies, stream, layer);
  const holders = [placement.owner.address, ...placement.peers].join(',');
  const { epoch } = await dependencies.store.acquireShard(stream.id, layer, holders);
  return { placement, epoch };
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
