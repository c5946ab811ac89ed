import { type Latencies, latencies } from '@errata/telemetry';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Metrics of the runtime; labels are the methods of the service. */
export interface RuntimeMetrics {
  readonly requestSeconds: Latencies<'method' | 'outcome'>;
  readonly queueSeconds: Histogram<'method'>;
  readonly waiting: Gauge;
  readonly generatedTokens: Counter;
  readonly targetSteps: Histogram;
  readonly targetSecondsPerEdit: Histogram;
  readonly targetRequests: Histogram;
  readonly catchUpEntries: Histogram;
  readonly damagedSnapshots: Counter;
}

export function createMetrics(registry: Registry): RuntimeMetrics {
  const registers = [registry];
  const buckets = [0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
  return {
    requestSeconds: latencies(registry, {
      name: 'errata_model_request_duration_seconds',
      help: 'Time of one request from its first turn on the engine to its end',
      labelNames: ['method', 'outcome'],
      buckets,
    }),
    queueSeconds: new Histogram({
      name: 'errata_model_queue_duration_seconds',
      help: 'Time a request waited for the engine',
      labelNames: ['method'],
      buckets,
      registers,
    }),
    waiting: new Gauge({ name: 'errata_model_queue_length', help: 'Requests waiting for the engine', registers }),
    generatedTokens: new Counter({
      name: 'errata_model_generated_tokens_total',
      help: 'Tokens of streamed generations',
      registers,
    }),
    targetSteps: new Histogram({
      name: 'errata_model_target_steps',
      help: 'Adam steps an edit took',
      buckets: [0, 1, 2, 4, 8, 12, 16, 20, 25, 40],
      registers,
    }),
    targetSecondsPerEdit: new Histogram({
      name: 'errata_model_target_seconds_per_edit',
      help: 'Time of a target search over its edits',
      buckets: [0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10],
      registers,
    }),
    targetRequests: new Histogram({
      name: 'errata_model_target_requests',
      help: 'Requests that ran as one target search',
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    }),
    catchUpEntries: new Histogram({
      name: 'errata_model_catch_up_entries',
      help: 'Log entries read to reach the state of a request',
      buckets: [0, 1, 5, 10, 50, 100, 500, 1000],
      registers,
    }),
    damagedSnapshots: new Counter({
      name: 'errata_model_snapshots_damaged_total',
      help: 'Snapshots of weights that could not be read, so that the log was replayed instead',
      registers,
    }),
  };
}
