import type { Capability } from '@errata/contracts';
import { connectS3, readS3Settings } from '@errata/objects';
import { connectModelRuntimes, connectShardWorker, logChanges, watchFleet } from '@errata/rpc';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, serveMetrics, startTracing } from '@errata/telemetry';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { createActivities } from './activities/index.js';
import { startCollections } from './collections.js';
import { readConfig } from './config.js';
import { covarianceRuns } from './covariance-runs.js';
import { createMetrics, followMembers } from './metrics.js';
import { connectTargets } from './publishing/target.js';
import { snapshotPolicy } from './snapshot-policy.js';
import { exportStreamMetrics } from './stream-metrics.js';
import { startSweeps } from './sweep.js';
import { temporalMetrics } from './temporal-metrics.js';
import { createWorkers } from './workers.js';

const config = readConfig(process.env);
const logger = createLogger('orchestrator', config.LOG_LEVEL);
const tracing = startTracing('orchestrator');
const exemplars = config.METRICS_EXEMPLARS === 'on';
const registry = createRegistry('orchestrator', { exemplars });
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
const targetObjects = connectTargets(config.PUBLISH_TARGETS, process.env);
const store = createStore({ databaseUrl: config.DATABASE_URL, objects });
const nativeConnection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
const connection = await Connection.connect({ address: config.TEMPORAL_ADDRESS });
const client = new Client({ connection, namespace: config.TEMPORAL_NAMESPACE });
const metrics = createMetrics(registry);
const runtime = connectModelRuntimes(config.MODEL_RUNTIME, {
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange: logChanges(logger, 'runtime', followMembers(metrics.runtimeUp, 'runtime')),
});
exportStreamMetrics(registry, { store, limit: config.METRICS_STREAMS });
const fleet = watchFleet({
  addresses: config.SHARD_WORKERS,
  connect: connectShardWorker,
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange: logChanges(logger, 'worker', followMembers(metrics.workerUp, 'worker')),
});

const snapshots = snapshotPolicy(store, client, logger, config.SNAPSHOT_AFTER_SECONDS);
const workers = await createWorkers({
  connection: nativeConnection,
  namespace: config.TEMPORAL_NAMESPACE,
  capabilities: config.ORCHESTRATOR_CAPABILITIES,
  concurrency: {
    streams: config.STREAMS_CONCURRENCY,
    model: config.MODEL_CONCURRENCY,
    files: config.FILES_CONCURRENCY,
  },
  activities: createActivities({
    store,
    runtime,
    fleet,
    covariances: covarianceRuns(client),
    publishing: { targets: config.PUBLISH_TARGETS, exportDir: config.EXPORT_DIR, objects: targetObjects },
    snapshots,
    receivers: config.WEBHOOK_TARGETS,
    logger,
    metrics,
  }),
});
const metricsServer = await serveMetrics(config.METRICS_LISTEN, registry, {
  ...(!exemplars && { appendix: sdkMetrics.page }),
  healthy: () => workers.healthy(),
});
const has = (capability: Capability) => config.ORCHESTRATOR_CAPABILITIES.includes(capability);
const sweeps = has('streams') ? startSweeps(store, client, logger, config.SWEEP_INTERVAL_MS) : null;
const collections = has('files')
  ? startCollections(store, logger, { keepDays: config.RETENTION_DAYS, intervalMs: config.COLLECT_INTERVAL_MS })
  : null;
const running = workers.run();

onShutdown(logger, async () => {
  sweeps?.stop();
  collections?.stop();
  workers.stop();
  await running;
  await metricsServer.close();
  runtime.close();
  fleet.close();
  await connection.close();
  await nativeConnection.close();
  await store.close();
  objects?.close();
  for (const each of targetObjects.values()) each.close();
  await tracing.stop();
});
logger.info({ ready: true, metrics: metricsServer.address, taskQueues: workers.taskQueues }, 'orchestrator is polling');
await running;
