import { z } from 'zod';

const address = z.string().regex(/^[^\s:]+:\d+$/, 'must be host:port');

const schema = z.object({
  /** Postgres holding the log. */
  DATABASE_URL: z.url(),
  /** The model: a Hugging Face folder or a GGUF file. */
  MODEL_PATH: z.string().min(1),
  /** Name the model is registered under; the file's own name of it when left out. */
  MODEL_NAME: z.string().min(1).optional(),
  /** Where gRPC is served. */
  LISTEN: address.default('127.0.0.1:7441'),
  /** Where Prometheus scrapes this process. */
  METRICS_LISTEN: address.default('127.0.0.1:0'),
  /** What computes: auto is native where it loads, else wasm; webgpu has to be asked for, and needs a card. */
  ERRATA_ENGINE: z.enum(['auto', 'native', 'webgpu', 'wasm']).default('auto'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type Config = z.infer<typeof schema>;

/** Reads the environment. @throws Error naming every variable that is missing or wrong */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = schema.safeParse(env);
  if (result.success) return result.data;
  throw new Error(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
