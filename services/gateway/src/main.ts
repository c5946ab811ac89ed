import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { presetFor } from '@errata/editor/presets';
import { connectS3, readS3Settings } from '@errata/objects';
import { connectModelRuntimes, connectShardWorker, logChanges, watchFleet } from '@errata/rpc';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, startTracing } from '@errata/telemetry';
import { connectWorkflows, createApp, createHttpMetrics, exportTaskQueueMetrics, listen, readConfig } from './index.js';

const config = readConfig(process.env);
const logger = createLogger('gateway', config.LOG_LEVEL);
const tracing = startTracing('gateway');
const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
const objectSettings = readS3Settings(process.env, 'SNAPSHOT_S3_');
const objects = objectSettings && connectS3(objectSettings);
const store = createStore({ databaseUrl: config.DATABASE_URL, objects });
const workflows = connectWorkflows({ address: config.TEMPORAL_ADDRESS, namespace: config.TEMPORAL_NAMESPACE });
const runtime = connectModelRuntimes(config.MODEL_RUNTIME, {
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange: logChanges(logger, 'runtime'),
});
const fleet = watchFleet({
  addresses: config.SHARD_WORKERS,
  connect: connectShardWorker,
  intervalMs: config.SHARD_CHECK_INTERVAL_MS,
  onChange: logChanges(logger, 'worker'),
});

const registry = createRegistry('gateway');
exportTaskQueueMetrics(registry, () => workflows.taskQueues());
const app = createApp({
  store,
  workflows,
  runtime,
  fleet,
  presetFor,
  exportDir: config.EXPORT_DIR && resolve(config.EXPORT_DIR),
  log: logger,
  registry,
  httpMetrics: createHttpMetrics(),
  version,
});
const server = await listen(app, config.HOST, config.PORT);

onShutdown(logger, async () => {
  await server.stop();
  fleet.close();
  runtime.close();
  await workflows.close();
  await store.close();
  objects?.close();
  await tracing.stop();
});
logger.info({ ready: true, host: server.host, port: server.port }, 'listening');
