import { defaultSearchBytes } from '@errata/editor';
import { z } from 'zod';

/** Of requests more gain nothing: a few dozen edits keep all cores busy. */
export const defaultLimits = { memoryBytes: defaultSearchBytes, requests: 16 };

const address = z.string().regex(/^[^\s:]+:\d+$/, 'must be host:port');

const schema = z.object({
  /** Postgres holding the log. */
  DATABASE_URL: z.url(),
  /** The model: a Hugging Face folder or a GGUF file. */
  MODEL_PATH: z.string().min(1),
  /** Name the model is registered under; the file's own name of it when left out. */
  MODEL_NAME: z.string().min(1).optional(),
  /** Folder that exports are written below; without it they are refused. */
  EXPORT_DIR: z.string().min(1).optional(),
  /** Where gRPC is served. */
  LISTEN: address.default('127.0.0.1:7441'),
  /** Where Prometheus scrapes this process. */
  METRICS_LISTEN: address.default('127.0.0.1:0'),
  /** What computes: auto is native where it loads, else wasm; webgpu has to be asked for, and needs a card. */
  ERRATA_ENGINE: z.enum(['auto', 'native', 'webgpu', 'wasm']).default('auto'),
  /**
   * Bytes that a target search may hold beside the weights. One that needs more is run in parts with the same result; an edit that
   * needs more alone is refused.
   */
  RUNTIME_MEMORY_BYTES: z.coerce.number().int().min(1_000_000).default(defaultLimits.memoryBytes),
  /**
   * Most requests for targets that run as one search. The last bits of a target depend on what it was searched with; 1
   * makes them depend on the request alone.
   */
  RUNTIME_JOINED_REQUESTS: z.coerce.number().int().min(1).max(1024).default(defaultLimits.requests),
  /** Whether times of requests name a trace that they belong to: the page of metrics is then in the format of OpenMetrics. */
  METRICS_EXEMPLARS: z.enum(['on', 'off']).default('off'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type Config = z.infer<typeof schema>;

/** Reads the environment. @throws Error naming every variable that is missing or wrong */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = schema.safeParse(env);
  if (result.success) return result.data;
  throw new Error(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
