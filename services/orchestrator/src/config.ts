import {
  addressListSchema,
  addressSchema,
  capabilities,
  capabilitySchema,
  defaultRetentionDays,
} from '@errata/contracts';
import { z } from 'zod';
import { publishTargetSchema } from './publishing/target.js';
import { webhookReceiverSchema } from './webhooks/receiver.js';

const listen = z.string().regex(/^[^\s:]+:\d+$/, 'must be host:port');
const concurrency = z.coerce.number().int().min(1).max(1000);

const schema = z.object({
  /** Postgres holding the log. */
  DATABASE_URL: z.url(),
  /** Frontend of the Temporal service. */
  TEMPORAL_ADDRESS: addressSchema.default('127.0.0.1:7233'),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  /** Model runtimes of one model, comma-separated, host:port or names for DNS; the streams are spread over them. */
  MODEL_RUNTIME: addressListSchema,
  /** Shard workers, likewise; the layers of a stream are spread over them. */
  SHARD_WORKERS: addressListSchema,
  /**
   * What this process does, comma-separated: `streams` (workflows, records, webhooks, the sweep), `model` (calls of model runtimes and
   * shard workers), `files` (exports, publications, snapshots, garbage collection). Each needs a process that does it.
   */
  ORCHESTRATOR_CAPABILITIES: z
    .string()
    .default(capabilities.join(','))
    .transform((list) => [...new Set(list.split(',').map((item) => item.trim()))])
    .pipe(z.array(capabilitySchema).min(1)),
  /** Most activities of each capability that run here at once. Those of streams are short; the others wait for servers. */
  STREAMS_CONCURRENCY: concurrency.default(32),
  MODEL_CONCURRENCY: concurrency.default(32),
  /** An export keeps a model runtime's disk busy, a snapshot some memory: a few at once are enough. */
  FILES_CONCURRENCY: concurrency.default(8),
  /** Folder of exports as the model runtime and publishing servers see it, where a target names no other. */
  EXPORT_DIR: z.string().min(1).optional(),
  /**
   * Servers that adapters may be published to, a JSON list: [{"name": "gpu", "url": "http://10.0.0.7:8000"}]. Optional:
   * `exportDir`, where that server sees EXPORT_DIR; `objects`, object storage that exports are uploaded to from EXPORT_DIR first
   * (s3://bucket/prefix; credentials from EXPORT_S3_…), with `exportDir` then where the server sees that; `apiKey`; `addresses`, the
   * only addresses its name may resolve to.
   */
  PUBLISH_TARGETS: z.string().default('[]').transform(parseJson).pipe(z.array(publishTargetSchema)),
  /**
   * Who may be told what guards do, a JSON list: [{"name": "ops", "url": "https://10.0.0.9/errata", "secret": "…"}]. Optional:
   * `addresses`, the only addresses that the name of the server may resolve to.
   */
  WEBHOOK_TARGETS: z.string().default('[]').transform(parseJson).pipe(z.array(webhookReceiverSchema)),
  /** Pause between two health checks of a shard worker, or of a model runtime where there are several, in milliseconds. */
  SHARD_CHECK_INTERVAL_MS: z.coerce.number().int().min(50).default(1000),
  /** Where Prometheus scrapes this process. */
  METRICS_LISTEN: listen.default('127.0.0.1:0'),
  /** Where the Temporal SDK offers its own metrics; they are on the page of METRICS_LISTEN too. Port 0 picks a free one. */
  TEMPORAL_METRICS_LISTEN: listen.default('127.0.0.1:0'),
  /** Streams that have metrics of their own, the newest; the others are added up as one. Bounds the series of this process. */
  METRICS_STREAMS: z.coerce.number().int().min(0).max(10_000).default(200),
  /**
   * Whether times of activities name a trace that they belong to: the page of metrics is then in the format of OpenMetrics, and without
   * those of the Temporal SDK, which are to be scraped where TEMPORAL_METRICS_LISTEN offers them.
   */
  METRICS_EXEMPLARS: z.enum(['on', 'off']).default('off'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** How often streams whose wake-up was lost are looked for, in milliseconds. */
  SWEEP_INTERVAL_MS: z.coerce.number().int().min(100).default(15_000),
  /** Estimated seconds of replay since the last snapshot at which the next is taken; 0 for none but those asked for. */
  SNAPSHOT_AFTER_SECONDS: z.coerce.number().min(0).default(0.5),
  /** Days that what no head, checkpoint or branch reaches is kept. */
  RETENTION_DAYS: z.coerce.number().min(0).default(defaultRetentionDays),
  /** How often what is older is collected, in milliseconds. */
  COLLECT_INTERVAL_MS: z.coerce.number().int().min(1000).default(3_600_000),
});

export type Config = z.infer<typeof schema>;

/** Reads the environment. @throws Error naming every variable that is missing or wrong */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const result = schema.safeParse(env);
  if (result.success) return result.data;
  throw new Error(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}

function parseJson(text: string, context: z.RefinementCtx): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: `is not JSON: ${error instanceof Error ? error.message : error}` });
    return z.NEVER;
  }
}
