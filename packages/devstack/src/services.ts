import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Capability } from '@errata/contracts';
import { accepts } from './ports.js';
import type { ProcessSpec } from './supervised.js';

/** Addresses of the parts of a stack, host:port. */
export interface StackAddresses {
  readonly databaseUrl: string;
  readonly temporal: string;
  readonly namespace: string;
  readonly modelRuntimes: readonly string[];
  readonly shardWorkers: readonly string[];
  readonly gateway: string;
  /** Of each service that serves metrics beside its own protocol, by process name. */
  readonly metrics: Readonly<Record<string, string>>;
}

interface ServiceContext {
  readonly repoRoot: string;
  readonly logDir: string;
  readonly exportDir: string;
  readonly addresses: StackAddresses;
  readonly logLevel: string;
}

const readyLine = /"ready":true/;

/** Loading a model, or compiling workflow code on a busy machine. */
const readyTimeoutMs = 120_000;

function service(
  context: ServiceContext,
  folder: string,
  name: string,
  env: Record<string, string>,
  probe: string | undefined,
): ProcessSpec {
  return {
    name,
    command: process.execPath,
    args: ['--enable-source-maps', path.join(context.repoRoot, 'services', folder, 'dist', 'main.js')],
    env: { ...process.env, LOG_LEVEL: context.logLevel, DATABASE_URL: context.addresses.databaseUrl, ...env },
    cwd: context.repoRoot,
    logFile: path.join(context.logDir, `${name}.log`),
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 12_000,
    readyTimeoutMs,
    isReady: (log) => readyLine.test(log) || (probe !== undefined && accepts(probe)),
  };
}

/** Name of the process of a model runtime. */
export function modelRuntimeName(index: number): string {
  return index === 0 ? 'model-runtime' : `model-runtime-${index + 1}`;
}

export function modelRuntimeSpec(
  context: ServiceContext,
  model: { name?: string | undefined; path: string },
  index: number,
): ProcessSpec {
  const { modelRuntimes, metrics } = context.addresses;
  const name = modelRuntimeName(index);
  const threads = Math.max(1, Math.floor(availableParallelism() / modelRuntimes.length));
  const env = {
    LISTEN: modelRuntimes[index],
    METRICS_LISTEN: metrics[name],
    MODEL_PATH: model.path,
    EXPORT_DIR: context.exportDir,
    ...(model.name !== undefined && { MODEL_NAME: model.name }),
    ...(modelRuntimes.length > 1 && { TF_NUM_INTRAOP_THREADS: String(threads) }),
  };
  return service(context, 'model-runtime', name, env, modelRuntimes[index]);
}

export function shardWorkerSpec(context: ServiceContext, index: number): ProcessSpec {
  const name = `shard-worker-${index + 1}`;
  const address = context.addresses.shardWorkers[index];
  const env = { LISTEN: address, METRICS_LISTEN: context.addresses.metrics[name], WORKER_ID: name };
  return service(context, 'shard-worker', name, env, address);
}

function computeAddresses({ addresses, exportDir }: ServiceContext) {
  return {
    TEMPORAL_ADDRESS: addresses.temporal,
    TEMPORAL_NAMESPACE: addresses.namespace,
    MODEL_RUNTIME: addresses.modelRuntimes.join(','),
    SHARD_WORKERS: addresses.shardWorkers.join(','),
    EXPORT_DIR: exportDir,
  };
}

/** Name of the process of an orchestrator. */
export function orchestratorName(index: number): string {
  return index === 0 ? 'orchestrator' : `orchestrator-${index + 1}`;
}

/** @param only its capabilities; those of the environment, or all, where null */
export function orchestratorSpec(
  context: ServiceContext,
  index: number,
  only: readonly Capability[] | null,
): ProcessSpec {
  const name = orchestratorName(index);
  const metrics = context.addresses.metrics[name];
  const env = {
    ...computeAddresses(context),
    METRICS_LISTEN: metrics,
    ...(only !== null && { ORCHESTRATOR_CAPABILITIES: only.join(',') }),
  };
  return service(context, 'orchestrator', name, env, metrics);
}

export function gatewaySpec(context: ServiceContext): ProcessSpec {
  const at = context.addresses.gateway.lastIndexOf(':');
  const env = {
    ...computeAddresses(context),
    HOST: context.addresses.gateway.slice(0, at),
    PORT: context.addresses.gateway.slice(at + 1),
  };
  return service(context, 'gateway', 'gateway', env, context.addresses.gateway);
}
