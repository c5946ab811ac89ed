import path from 'node:path';
import { ErrataError } from '@errata/contracts';
import type { OnStackEvent } from './events.js';
import type { ResolvedOptions } from './options.js';
import { freePorts } from './ports.js';
import { embeddedPostgres } from './postgres.js';
import {
  gatewaySpec,
  modelRuntimeName,
  modelRuntimeSpec,
  orchestratorName,
  orchestratorSpec,
  type StackAddresses,
  shardWorkerSpec,
} from './services.js';
import type { ProcessSpec } from './supervised.js';
import { temporalSpec } from './temporal.js';

/** What a stack will run: processes in tiers, each tier started when the one before is ready. */
export interface StackPlan {
  readonly servers: readonly ProcessSpec[];
  readonly compute: readonly ProcessSpec[];
  readonly front: readonly ProcessSpec[];
  readonly addresses: StackAddresses;
}

/**
 * Chooses ports and decides what is started and what the options replace by running servers.
 * @throws ErrataError `NOT_READY` when a part is neither given nor set up
 */
export async function planStack(options: ResolvedOptions, onEvent: OnStackEvent): Promise<StackPlan> {
  const { dataDir, logDir, tools } = options;
  const ownWorkers = typeof options.shardWorkers === 'number' ? options.shardWorkers : 0;
  const ownRuntimes = typeof options.modelRuntimes === 'number' ? options.modelRuntimes : 0;
  if (ownRuntimes > 0 && options.model === undefined)
    throw new ErrataError(
      'NOT_READY',
      'there is no model: run `npm run setup`, or set MODEL_PATH to a GGUF file or MODEL_RUNTIME to a running model runtime',
    );
  const { model } = options;
  const runtimeNames = Array.from({ length: ownRuntimes }, (_, i) => modelRuntimeName(i));
  const orchestratorNames = options.orchestrators.map((_, i) => orchestratorName(i));
  const ports = (await freePorts(3 + 2 * (ownRuntimes + ownWorkers) + orchestratorNames.length)).map(
    (port) => `127.0.0.1:${port}`,
  );
  const take = () => ports.pop() ?? '';
  const portOf = (address: string) => Number(address.slice(address.lastIndexOf(':') + 1));

  const postgres =
    options.databaseUrl === undefined
      ? await embeddedPostgres({ dataDir, logFile: path.join(logDir, 'postgres.log'), port: portOf(take()) }, onEvent)
      : undefined;
  const temporalAddress = options.temporalAddress ?? take();
  const servers = postgres === undefined ? [] : [postgres.spec];
  if (options.temporalAddress === undefined)
    servers.push(
      temporalSpec({
        program: tools.temporal,
        databaseFile: path.join(dataDir, 'temporal.db'),
        logFile: path.join(logDir, 'temporal.log'),
        port: portOf(temporalAddress),
        cwd: dataDir,
      }),
    );

  const workerNames = Array.from({ length: ownWorkers }, (_, index) => `shard-worker-${index + 1}`);
  const metered = [...runtimeNames, ...workerNames, ...orchestratorNames];
  const addresses: StackAddresses = {
    databaseUrl: postgres?.databaseUrl ?? options.databaseUrl ?? '',
    temporal: temporalAddress,
    namespace: options.namespace,
    modelRuntimes: typeof options.modelRuntimes === 'number' ? runtimeNames.map(take) : options.modelRuntimes,
    shardWorkers: typeof options.shardWorkers === 'number' ? workerNames.map(take) : options.shardWorkers,
    gateway: options.port === undefined ? take() : `127.0.0.1:${options.port}`,
    metrics: Object.fromEntries(metered.map((name) => [name, take()])),
  };
  const context = {
    repoRoot: tools.repoRoot,
    logDir,
    exportDir: options.exportDir,
    addresses,
    logLevel: options.logLevel,
  };
  return {
    servers,
    compute: [
      ...(model === undefined ? [] : runtimeNames.map((_, index) => modelRuntimeSpec(context, model, index))),
      ...workerNames.map((_, index) => shardWorkerSpec(context, index)),
    ],
    front: [...options.orchestrators.map((only, i) => orchestratorSpec(context, i, only)), gatewaySpec(context)],
    addresses,
  };
}
