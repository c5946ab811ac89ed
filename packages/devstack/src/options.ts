import path from 'node:path';
import { type Capability, ErrataError } from '@errata/contracts';
import { locateTools } from '../bootstrap/lib/tools.mjs';
import type { OnStackEvent } from './events.js';

const defaultShardWorkers = 2;
/** Far above what one machine has cores for; each holds shards and inverse covariances of its own. */
const mostShardWorkers = 64;
/** Each holds a copy of the weights. */
const mostModelRuntimes = 16;

/** What `startStack` may be told; everything has a default, and the environment fills in what is left out. */
export interface StackOptions {
  /** Where Postgres, Temporal and the logs lie. Default: ERRATA_DATA, or .errata/data in the checkout. */
  readonly dataDir?: string;
  /** Default: `logs` in the data directory. */
  readonly logDir?: string;
  /** Folder of exports. Default: EXPORT_DIR, or `exports` in the data directory. */
  readonly exportDir?: string;
  /** A running Postgres instead of the embedded one. Default: DATABASE_URL. */
  readonly databaseUrl?: string;
  /** A running Temporal instead of the embedded one, host:port. Default: TEMPORAL_ADDRESS. */
  readonly temporalAddress?: string;
  /**
   * How many model runtimes to start, which share the cores, or the addresses of running ones. Default: MODEL_RUNTIME,
   * MODEL_RUNTIME_COUNT, 1.
   */
  readonly modelRuntimes?: number | readonly string[];
  /** How many shard workers to start, or the addresses of running ones. Default: SHARD_WORKERS, SHARD_WORKER_COUNT, 2. */
  readonly shardWorkers?: number | readonly string[];
  /** Orchestrators to start, each with its capabilities. Default: one with ORCHESTRATOR_CAPABILITIES, or all. */
  readonly orchestrators?: readonly (readonly Capability[])[];
  /** Port of the HTTP API on loopback; a free one when left out. */
  readonly port?: number;
  /**
   * Hugging Face folder or GGUF file of the model, and a name in place of its own. Default: MODEL_PATH and MODEL_NAME, or
   * what set-up brought.
   */
  readonly model?: { readonly name?: string | undefined; readonly path: string };
  readonly logLevel?: 'info' | 'debug' | 'trace';
  readonly onEvent?: OnStackEvent;
  /** Whether SIGINT, SIGTERM and SIGHUP stop the stack and end this process. Default: true. */
  readonly signals?: boolean;
}

/** The data directory that commands use unless told otherwise. */
export function defaultDataDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env.ERRATA_DATA;
  return given ? path.resolve(given) : path.join(locateTools(env).repoRoot, '.errata', 'data');
}

function countOf(name: string, given: string | undefined, usual: number, most: number): number {
  if (given === undefined || given === '') return usual;
  const count = Number(given);
  if (!Number.isInteger(count) || count < 1 || count > most)
    throw new ErrataError(
      'INVALID_REQUEST',
      `${name}=${JSON.stringify(given)} is not a whole number from 1 to ${most}`,
    );
  return count;
}

/** The addresses of a list with commas between; undefined where it names none. */
function listOf(given: string | undefined): readonly string[] | undefined {
  const listed = (given ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  return listed.length > 0 ? listed : undefined;
}

/** Fills in the options from the environment. @throws ErrataError INVALID_REQUEST naming a variable that is wrong */
export function resolveOptions(options: StackOptions, env: NodeJS.ProcessEnv = process.env) {
  const tools = locateTools(env);
  const dataDir = path.resolve(options.dataDir ?? defaultDataDir(env));
  const level = env.LOG_LEVEL;
  return {
    tools,
    dataDir,
    logDir: path.resolve(options.logDir ?? path.join(dataDir, 'logs')),
    exportDir: path.resolve(options.exportDir ?? env.EXPORT_DIR ?? path.join(dataDir, 'exports')),
    databaseUrl: options.databaseUrl ?? env.DATABASE_URL,
    temporalAddress: options.temporalAddress ?? env.TEMPORAL_ADDRESS,
    namespace: env.TEMPORAL_NAMESPACE ?? 'default',
    modelRuntimes:
      options.modelRuntimes ??
      listOf(env.MODEL_RUNTIME) ??
      countOf('MODEL_RUNTIME_COUNT', env.MODEL_RUNTIME_COUNT, 1, mostModelRuntimes),
    shardWorkers:
      options.shardWorkers ??
      listOf(env.SHARD_WORKERS) ??
      countOf('SHARD_WORKER_COUNT', env.SHARD_WORKER_COUNT, defaultShardWorkers, mostShardWorkers),
    orchestrators: options.orchestrators ?? [null],
    port: options.port,
    model:
      options.model ?? (tools.modelPath === undefined ? undefined : { name: tools.modelName, path: tools.modelPath }),
    // Services tell that they are ready at level info.
    logLevel: options.logLevel ?? (level === 'debug' || level === 'trace' ? level : 'info'),
    onEvent: options.onEvent ?? (() => {}),
    signals: options.signals ?? true,
  };
}

export type ResolvedOptions = ReturnType<typeof resolveOptions>;
