import { connectS3, readS3Settings } from '@errata/objects';
import { connectModelRuntimes, connectShardWorker, watchFleet } from '@errata/rpc';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, serveMetrics, startTracing } from '@errata/telemetry';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities } from './activities/index.js';
import { workflowSource } from './bundle.js';
import { startCollections } from './collections.js';
import { readConfig } from './config.js';
import { covarianceRuns } from './covariance-runs.js';
import { createMetrics } from './metrics.js';
import { snapshotPolicy } from './snapshot-policy.js';
import { exportStreamMetrics } from './stream-metrics.js';
import { startSweeps, taskQueue } from './sweep.js';
import { temporalMetrics } from './temporal-metrics.js';

const config = readConfig(process.env);
const logger = createLogger('orchestrator', config.LOG_LEVEL);
const tracing = startTracing('orchestrator');
const registry = createRegistry('orchestrator');
const sdkMetrics = await temporalMetrics(config.TEMPORAL_METRICS_LISTEN);
Runtime.install({
  telemetryOptions: { metrics: sdkMetrics.exporter },
  logger: new DefaultLogger('WARN', ({ level, message, meta }) =>
    logger[level === 'ERROR' ? 'error' : 'warn']({ ...meta, err: meta?.error }, message),
  ),
  shutdownSignals: [],
});

const objectSettings = readS3Settings(process.env, 'SNAPSHOT_S3_');
const objects = objectSettings && connectS3(objectSettings);
const store = createStore({ databaseUrl: config.DATABASE_URL, objects });
const nativeConnection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
const connection = await Connection.connect({ address: config.TEMPORAL_ADDRESS });
const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
const shards = config.SHARD_WORKERS.map(connectShardWorker);
const metrics = createMetrics(registry);
const runtime = connectModelRuntimes(config.MODEL_RUNTIME, {
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange(address, up, reason) {
    metrics.runtimeUp.set({ runtime: address }, up ? 1 : 0);
    if (reason !== 'start')
      logger[up ? 'info' : 'warn']({ runtime: address, up, reason }, `model runtime is ${up ? 'up' : 'down'}`);
  },
});
exportStreamMetrics(registry, { store, limit: config.METRICS_STREAMS });
const fleet = watchFleet({
  workers: shards,
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange(worker, up, reason) {
    metrics.workerUp.set({ worker }, up ? 1 : 0);
    if (reason !== 'start')
      logger[up ? 'info' : 'warn']({ worker, up, reason }, up ? 'shard worker is up' : 'shard worker is down');
  },
});

const snapshots = snapshotPolicy(store, client, logger, config.SNAPSHOT_AFTER_SECONDS);
const worker = await Worker.create({
  connection: nativeConnection,
  namespace: config.TEMPORAL_NAMESPACE,
  taskQueue,
  ...workflowSource(),
  activities: {
    ...createActivities({
      store,
      runtime,
      fleet,
      covariances: covarianceRuns(client),
      publishing: { targets: config.PUBLISH_TARGETS, exportDir: config.EXPORT_DIR },
      snapshots,
      receivers: config.WEBHOOK_TARGETS,
      logger,
      metrics,
    }),
  },
  maxConcurrentActivityTaskExecutions: 32,
  shutdownGraceTime: '5 seconds',
});
const metricsServer = await serveMetrics(config.METRICS_LISTEN, registry, {
  appendix: sdkMetrics.page,
  healthy: () => worker.getState() === 'INITIALIZED' || worker.getState() === 'RUNNING',
});
const sweeps = startSweeps(store, client, logger, config.SWEEP_INTERVAL_MS);
const collections = startCollections(store, logger, {
  keepDays: config.RETENTION_DAYS,
  intervalMs: config.COLLECT_INTERVAL_MS,
});
const running = worker.run();

onShutdown(logger, async () => {
  sweeps.stop();
  collections.stop();
  worker.shutdown();
  await running;
  await metricsServer.close();
  runtime.close();
  fleet.close();
  for (const shard of shards) shard.close();
  await connection.close();
  await nativeConnection.close();
  await store.close();
  objects?.close();
  await tracing.stop();
});
logger.info({ ready: true, metrics: metricsServer.address, taskQueue }, 'orchestrator is polling');
await running;
