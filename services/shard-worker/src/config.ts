import { totalmem } from 'node:os';
import { z } from 'zod';

const address = z.string().regex(/^[^\s:]+:\d+$/, 'must be host:port');

/** Several workers and a model share a machine where nobody says how much each may take. */
const MEMORY_SHARE = 0.25;

/** A quarter of what the machine has, or of what its control group leaves to this process. */
export function defaultMemoryBytes(total = totalmem(), constrained = process.constrainedMemory()): number {
  return Math.floor(MEMORY_SHARE * (constrained > 0 ? Math.min(total, constrained) : total));
}

const schema = z.object({
  /** Postgres holding the log. */
  DATABASE_URL: z.url(),
  /** Where gRPC is served. */
  LISTEN: address.default('127.0.0.1:7442'),
  /** Where Prometheus scrapes this process. */
  METRICS_LISTEN: address.default('127.0.0.1:0'),
  /** Name of this worker in its log lines. */
  WORKER_ID: z.string().min(1).max(100).default('shard-worker'),
  /** What computes: auto is native where it loads, else wasm; webgpu has to be asked for. */
  ERRATA_ENGINE: z.enum(['auto', 'native', 'webgpu', 'wasm']).default('auto'),
  /** Folder for the inversion of covariances that do not fit into memory. */
  SHARD_SCRATCH_DIR: z.string().min(1).optional(),
  /** Bytes that shards and inverse covariances may take: the least recently used are dropped, one that needs more is refused. */
  SHARD_MEMORY_BYTES: z.coerce
    .number()
    .int()
    .min(1_000_000)
    .default(() => defaultMemoryBytes()),
  /** Whether times of requests name a trace that they belong to: the page of metrics is then in the format of OpenMetrics. */
  METRICS_EXEMPLARS: z.enum(['on', 'off']).default('off'),
  /** Seconds that a replay since the last snapshot takes at which a shard keeps another; 0 for never. */
  SHARD_SNAPSHOT_AFTER_SECONDS: z.coerce.number().min(0).default(5),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type Config = z.infer<typeof schema>;

/** Reads the environment. @throws Error naming every variable that is missing or wrong */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = schema.safeParse(env);
  if (result.success) return result.data;
  throw new Error(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
