import { Gauge, Histogram, type Registry } from 'prom-client';

/** Metrics of the pipeline; labels are bounded: stream names and layers, never edits. */
export interface ActivityMetrics {
  readonly activitySeconds: Histogram<'activity' | 'outcome'>;
  readonly layerSeconds: Histogram<'step'>;
  readonly targetSteps: Histogram<never>;
  readonly deltaNorm: Gauge<'stream' | 'layer'>;
  readonly perplexity: Gauge<'stream'>;
  readonly workerUp: Gauge<'worker'>;
}

export function createMetrics(registry: Registry): ActivityMetrics {
  const registers = [registry];
  const buckets = [0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
  return {
    activitySeconds: new Histogram({
      name: 'errata_activity_duration_seconds',
      help: 'Time of one run of an activity',
      labelNames: ['activity', 'outcome'],
      buckets,
      registers,
    }),
    layerSeconds: new Histogram({
      name: 'errata_layer_step_duration_seconds',
      help: 'Time of one layer of a batch, by step',
      labelNames: ['step'],
      buckets,
      registers,
    }),
    targetSteps: new Histogram({
      name: 'errata_target_search_steps',
      help: 'Adam steps an edit took',
      buckets: [1, 2, 4, 8, 12, 16, 20, 25, 40],
      registers,
    }),
    deltaNorm: new Gauge({
      name: 'errata_drift_delta_norm',
      help: 'Frobenius norm of W - W0 of an edited layer',
      labelNames: ['stream', 'layer'],
      registers,
    }),
    perplexity: new Gauge({
      name: 'errata_drift_perplexity',
      help: 'Perplexity on held-out text at the last evaluation',
      labelNames: ['stream'],
      registers,
    }),
    workerUp: new Gauge({
      name: 'errata_shard_worker_up',
      help: 'Whether a shard worker serves (1) or others hold its shards (0)',
      labelNames: ['worker'],
      registers,
    }),
  };
}
