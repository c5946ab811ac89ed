export type { ShardStore } from './shard-cache.js';
export { type RunningWorker, startWorker, type WorkerOptions } from './worker.js';
