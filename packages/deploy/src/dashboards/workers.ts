import { type DashboardSpec, graph, quantile, query } from '../panels.js';

/** What do shard workers and model runtimes do, and what do requests wait for? */
export const workers: DashboardSpec = {
  name: 'workers',
  title: 'Errata / Workers and shards',
  description: 'Shard workers and model runtimes: what they hold, what they do, what requests wait for',
  byStream: false,
  rows: [
    {
      title: 'Shard workers',
      panels: [
        graph('In service', 'Which workers and runtimes do orchestrators reach?', 'short', [
          query('min by (worker) (errata_shard_worker_up)', '{{worker}}'),
          query('min by (runtime) (errata_model_runtime_up)', '{{runtime}}'),
        ]),
        graph('Requests', 'Is the load even?', 'reqps', [
          query(
            'sum by (instance, method, outcome) (rate(errata_shard_request_duration_seconds_count[$__rate_interval]))',
            '{{instance}} {{method}} {{outcome}}',
          ),
        ]),
        graph('Request time, 95th percentile', 'Which call is slow?', 's', [
          query(quantile(0.95, 'errata_shard_request_duration_seconds', ['method']), '{{method}}'),
        ]),
        graph('Waiting, 95th percentile', 'Do requests wait for a shard, the log, or an inversion?', 's', [
          query(quantile(0.95, 'errata_shard_wait_duration_seconds'), 'shard'),
          query(quantile(0.95, 'errata_shard_catch_up_duration_seconds'), 'catching up'),
        ]),
        graph('Memory of shards', 'Does a worker reach its limit?', 'bytes', [
          query('errata_shard_bytes', '{{instance}}'),
        ]),
        graph('Held', 'What does a worker hold?', 'short', [
          query('errata_shard_open', '{{instance}} shards'),
          query('errata_shard_inverses', '{{instance}} inverse covariances'),
        ]),
        graph('Engine queue', 'Do jobs wait for the engine thread?', 'short', [
          query('errata_shard_engine_queue_length', '{{instance}}'),
        ]),
        graph('Engine crashes', 'Does an engine end by itself?', 'short', [
          query('increase(errata_shard_engine_crashes_total[$__rate_interval])', '{{instance}}'),
        ]),
        graph('Log entries read', 'Are shards rebuilt all the time?', 'ops', [
          query('rate(errata_shard_log_entries_read_total[$__rate_interval])', '{{instance}}'),
        ]),
        graph('Deviation from the log', 'Do recomputed factors agree with the recorded ones?', 'short', [
          query('errata_shard_log_deviation_max', '{{instance}}'),
        ]),
      ],
    },
    {
      title: 'Model runtimes',
      panels: [
        graph('Requests', 'What is asked of the model?', 'reqps', [
          query(
            'sum by (method, outcome) (rate(errata_model_request_duration_seconds_count[$__rate_interval]))',
            '{{method}} {{outcome}}',
          ),
        ]),
        graph('Request time, 95th percentile', 'Which call is slow?', 's', [
          query(quantile(0.95, 'errata_model_request_duration_seconds', ['method']), '{{method}}'),
        ]),
        graph('Waiting for the engine, 95th percentile', 'Is there too much for one runtime?', 's', [
          query(quantile(0.95, 'errata_model_queue_duration_seconds', ['method']), '{{method}}'),
        ]),
        graph('Requests waiting', 'How long is the queue?', 'short', [
          query('errata_model_queue_length', '{{instance}}'),
        ]),
        graph('Generated tokens', 'How much is answered?', 'short', [
          query('rate(errata_model_generated_tokens_total[$__rate_interval])', '{{instance}}'),
        ]),
        graph(
          'Log entries read for a request, 95th percentile',
          'Does a runtime change between streams all the time?',
          'short',
          [query(quantile(0.95, 'errata_model_catch_up_entries'), 'entries')],
        ),
      ],
    },
  ],
};
