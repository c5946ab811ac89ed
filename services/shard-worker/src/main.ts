import { connectS3, readS3Settings } from '@errata/objects';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, serveMetrics, startTracing } from '@errata/telemetry';
import { readConfig } from './config.js';
import { startWorker } from './worker.js';

const config = readConfig(process.env);
const logger = createLogger('shard-worker', config.LOG_LEVEL).child({ worker: config.WORKER_ID });
const tracing = startTracing('shard-worker');
const registry = createRegistry('shard-worker', { exemplars: config.METRICS_EXEMPLARS === 'on' });
const objectSettings = readS3Settings(process.env, 'SNAPSHOT_S3_');
const objects = objectSettings && connectS3(objectSettings);
const store = await createStore({ databaseUrl: config.DATABASE_URL, objects });
const worker = await startWorker({
  listen: config.LISTEN,
  store,
  registry,
  engine: config.ERRATA_ENGINE,
  memoryBytes: config.SHARD_MEMORY_BYTES,
  scratch: config.SHARD_SCRATCH_DIR ?? null,
  snapshots: store,
  snapshotAfterSeconds: config.SHARD_SNAPSHOT_AFTER_SECONDS,
  onCrash: (reason) => logger.error({ reason: reason.message }, 'the engine thread ended and is started again'),
});
if (worker.engine.fallbackReason !== null)
  logger.warn({ reason: worker.engine.fallbackReason }, 'the native engine does not load');
const metricsServer = await serveMetrics(config.METRICS_LISTEN, registry);

onShutdown(logger, async () => {
  await worker.stop();
  await metricsServer.close();
  await store.close();
  objects?.close();
  await tracing.stop();
});
logger.info(
  {
    ready: true,
    listen: worker.server.address,
    metrics: metricsServer.address,
    engine: worker.engine.name,
    engineDescription: worker.engine.description,
  },
  'shard-worker is listening',
);
