import { ShardServiceService, serve } from '@errata/rpc';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, serveMetrics } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { readConfig } from './config.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { ShardCache } from './shard-cache.js';

const config = readConfig(process.env);
const logger = createLogger('shard-worker', config.LOG_LEVEL).child({ worker: config.WORKER_ID });
const registry = createRegistry('shard-worker');
const store = await createStore({ databaseUrl: config.DATABASE_URL });
const engine = await createEngine({ prefer: config.ERRATA_ENGINE });
if (engine.fallbackReason)
  logger.warn({ reason: engine.fallbackReason }, 'the native engine does not load, using wasm');
const metrics = createMetrics(registry);
const { linalg } = engine;
const shards = new ShardCache({ linalg, store, metrics, memoryBytes: config.SHARD_MEMORY_BYTES });

const server = await serve(config.LISTEN, [
  {
    name: 'errata.v1.ShardService',
    definition: ShardServiceService,
    implementation: createService({ shards, linalg, metrics }),
  },
]);
const metricsServer = await serveMetrics(config.METRICS_LISTEN, registry);

onShutdown(logger, async () => {
  await server.stop();
  await metricsServer.close();
  await store.close();
});
logger.info(
  { ready: true, listen: server.address, metrics: metricsServer.address, engine: engine.name },
  'shard-worker is listening',
);
