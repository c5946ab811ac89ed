import { loadModel } from '@errata/model';
import { connectS3, readS3Settings } from '@errata/objects';
import { ModelRuntimeServiceService, serve } from '@errata/rpc';
import { createStore } from '@errata/store';
import { createLogger, createRegistry, onShutdown, serveMetrics, startTracing } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { readConfig } from './config.js';
import { readCorpus } from './corpus.js';
import { createMetrics } from './metrics.js';
import { register } from './register.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { WeightSnapshots } from './weight-snapshots.js';
import { WorkQueue } from './work-queue.js';

const config = readConfig(process.env);
const logger = createLogger('model-runtime', config.LOG_LEVEL);
const tracing = startTracing('model-runtime');
const registry = createRegistry('model-runtime', { exemplars: config.METRICS_EXEMPLARS === 'on' });
const objectSettings = readS3Settings(process.env, 'SNAPSHOT_S3_');
const objects = objectSettings && connectS3(objectSettings);
const store = await createStore({ databaseUrl: config.DATABASE_URL, objects });
const engine = await createEngine({ prefer: config.ERRATA_ENGINE });
if (engine.fallbackReason)
  logger.warn({ reason: engine.fallbackReason }, 'the native engine does not load, using wasm');
// Weights and caches are gone with the device: whoever started this process starts it again.
engine.failed?.catch((error: Error) => {
  logger.fatal({ reason: error.message }, 'the device of the engine is lost');
  process.exit(1);
});
const model = await loadModel({ engine, path: config.MODEL_PATH });
const name = config.MODEL_NAME ?? model.config.name;
await register(store, model, name, logger);

const metrics = createMetrics(registry);
const snapshots = new WeightSnapshots(model, store, ({ id, streamId, seq }, error) => {
  metrics.damagedSnapshots.inc();
  logger.warn({ snapshot: id, streamId, seq, err: error }, 'a snapshot cannot be read, the log is replayed instead');
});
const implementation = createService({
  model,
  name,
  corpus: readCorpus(),
  corpora: store,
  states: new StreamStates(model, store, snapshots),
  snapshots,
  exports: { path: config.MODEL_PATH, root: config.EXPORT_DIR, store },
  queue: new WorkQueue(),
  limits: { memoryBytes: config.RUNTIME_MEMORY_BYTES, requests: config.RUNTIME_JOINED_REQUESTS },
  metrics,
});
const server = await serve(config.LISTEN, [
  { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
]);
const metricsServer = await serveMetrics(config.METRICS_LISTEN, registry);

onShutdown(logger, async () => {
  await server.stop();
  await metricsServer.close();
  await store.close();
  objects?.close();
  await tracing.stop();
  await engine.dispose();
});
logger.info(
  {
    ready: true,
    listen: server.address,
    metrics: metricsServer.address,
    model: name,
    modelId: model.id,
    engine: engine.name,
  },
  'model-runtime is listening',
);
