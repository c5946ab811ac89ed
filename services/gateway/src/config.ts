import { addressListSchema, addressSchema } from '@errata/contracts';
import { z } from 'zod';

const configSchema = z.object({
  /** Interface to listen on. Loopback unless told otherwise: the API has no authentication of its own. */
  HOST: z.string().min(1).default('127.0.0.1'),
  /** Port to listen on; 0 picks a free one. */
  PORT: z.coerce.number().int().min(0).max(65535).default(8080),
  /** Postgres that holds the streams, postgres://user:password@host:port/database. */
  DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\//, 'must begin with postgres://'),
  /** Frontend of the Temporal server, host:port. */
  TEMPORAL_ADDRESS: addressSchema,
  /** Temporal namespace of the workflows. */
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  /** Model runtimes of one model, host:port or names for DNS, with commas between. */
  MODEL_RUNTIME: addressListSchema,
  /** Shard workers, likewise. */
  SHARD_WORKERS: addressListSchema,
  /** Folder that the model runtime writes exports below, for downloads. */
  EXPORT_DIR: z.string().min(1).optional(),
  /** Pause between two health checks of a shard worker, or of a model runtime where there are several, in milliseconds. */
  SHARD_CHECK_INTERVAL_MS: z.coerce.number().int().min(50).default(1000),
  /** Least level that is logged. */
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type GatewayConfig = z.infer<typeof configSchema>;

/**
 * The configuration in the environment.
 * @throws Error naming each variable at fault
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const result = configSchema.safeParse(env);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return env[name] === undefined ? `${name} is not set` : `${name}=${JSON.stringify(env[name])} ${issue.message}`;
  });
  throw new Error(`The configuration of the gateway is not valid: ${faults.join('; ')}`);
}
