export { createMetrics, type ShardMetrics } from './metrics.js';
export { createService, type ServiceParts } from './service.js';
export { ShardCache, type ShardCacheParts, type ShardStore } from './shard-cache.js';
