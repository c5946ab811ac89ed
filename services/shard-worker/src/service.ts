import type { ShardServiceServer } from '@errata/rpc';
import { distanceMethods } from './distance.js';
import type { EngineClient } from './engine-client.js';
import type { Epochs } from './epochs.js';
import type { ShardMetrics } from './metrics.js';
import { queryMethods } from './queries.js';
import { timedBy } from './requests.js';
import type { ShardCache, ShardStore } from './shard-cache.js';
import type { Peers } from './shares.js';
import { updateMethods } from './updates.js';

/** What the methods work with. */
export interface ServiceParts {
  readonly shards: ShardCache;
  readonly store: ShardStore;
  readonly engine: EngineClient;
  readonly peers: Peers;
  readonly epochs: Epochs;
  readonly metrics: ShardMetrics;
}

/** The methods of errata.v1.ShardService. */
export function createService(parts: ServiceParts): ShardServiceServer {
  const timed = timedBy(parts.metrics);
  return { ...updateMethods(parts, timed), ...queryMethods(parts, timed), ...distanceMethods(parts, timed) };
}
