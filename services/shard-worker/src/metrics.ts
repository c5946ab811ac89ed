import { type Latencies, latencies } from '@errata/telemetry';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Metrics of a shard worker. */
export interface ShardMetrics {
  readonly requestSeconds: Latencies<'method' | 'outcome'>;
  readonly waitSeconds: Histogram;
  readonly catchUpSeconds: Histogram;
  readonly inverseSeconds: Histogram;
  readonly entriesRead: Counter;
  readonly shards: Gauge;
  readonly inverses: Gauge;
  readonly bytes: Gauge;
  readonly deviation: Gauge;
  readonly condition: Gauge;
  readonly engineQueue: Gauge;
  readonly engineCrashes: Counter;
  readonly snapshots: Counter<'outcome'>;
  readonly folds: Counter;
  readonly refreshes: Counter;
  readonly refreshDeviation: Gauge;
}

export function createMetrics(registry: Registry): ShardMetrics {
  const registers = [registry];
  const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30];
  const seconds = (name: string, help: string) => new Histogram({ name, help, buckets, registers });
  return {
    requestSeconds: latencies(registry, {
      name: 'errata_shard_request_duration_seconds',
      help: 'Time of one request, catching up and waiting included',
      labelNames: ['method', 'outcome'],
      buckets,
    }),
    waitSeconds: seconds('errata_shard_wait_duration_seconds', 'Time a request waited for its shard'),
    catchUpSeconds: seconds('errata_shard_catch_up_duration_seconds', 'Time to reach the state of a request'),
    inverseSeconds: seconds('errata_shard_inverse_duration_seconds', 'Time to compute an inverse covariance'),
    entriesRead: new Counter({
      name: 'errata_shard_log_entries_read_total',
      help: 'Log entries read to catch up',
      registers,
    }),
    shards: new Gauge({ name: 'errata_shard_open', help: 'Shards held in memory', registers }),
    inverses: new Gauge({ name: 'errata_shard_inverses', help: 'Inverse covariances held in memory', registers }),
    bytes: new Gauge({ name: 'errata_shard_bytes', help: 'Bytes of shards and inverse covariances', registers }),
    deviation: new Gauge({
      name: 'errata_shard_log_deviation_max',
      help: 'Largest relative difference met between recorded factors and those their keys give',
      registers,
    }),
    condition: new Gauge({
      name: 'errata_shard_condition_number',
      help: 'Condition number of the inverse covariance made last',
      registers,
    }),
    engineQueue: new Gauge({
      name: 'errata_shard_engine_queue_length',
      help: 'Jobs that wait for the engine thread or run in it',
      registers,
    }),
    engineCrashes: new Counter({
      name: 'errata_shard_engine_crashes_total',
      help: 'Times that the engine thread ended by itself and was started again',
      registers,
    }),
    snapshots: new Counter({
      name: 'errata_shard_snapshots_total',
      help: 'Snapshots of shards kept, restored, found damaged, or not kept because that failed',
      labelNames: ['outcome'],
      registers,
    }),
    folds: new Counter({ name: 'errata_shard_folds_total', help: 'Folds asked for', registers }),
    refreshes: new Counter({ name: 'errata_shard_refreshes_total', help: 'Refreshes asked for', registers }),
    refreshDeviation: new Gauge({
      name: 'errata_shard_refresh_deviation',
      help: 'Relative difference that the last refresh found between C as it was and as made anew',
      registers,
    }),
  };
}
