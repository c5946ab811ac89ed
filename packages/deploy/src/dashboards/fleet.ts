import { type DashboardSpec, figure, graph, query } from '../panels.js';

/** Is everything up, and does it keep up? */
export const fleet: DashboardSpec = {
  name: 'fleet',
  title: 'Errata / Fleet',
  description: 'Whether every process is up and the pipeline keeps up with what arrives',
  byStream: false,
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Processes down',
          'Does a process not answer its scrape?',
          'short',
          'count(up{job="errata"} == 0) or vector(0)',
        ),
        figure('Database', 'Does Postgres answer?', 'short', 'max(errata_database_up)'),
        figure('Streams failed', 'Has a stream stopped?', 'short', 'max(errata_streams{status="failed"})'),
        figure(
          'Edits waiting',
          'How many edits are not written yet?',
          'short',
          'sum(max by (stream, status) (errata_queue_edits))',
        ),
        figure('Oldest waits', 'How long has the oldest edit waited?', 's', 'max(errata_queue_oldest_seconds)'),
        figure(
          'Edits in an hour',
          'How many edits were written in the last hour?',
          'short',
          'sum(increase(errata_edits_committed_total{kind="apply"}[1h]))',
        ),
      ],
    },
    {
      title: 'Processes',
      panels: [
        graph('Up', 'Which process was away, and when?', 'short', [
          query('up{job="errata"}', '{{service}} {{instance}}'),
        ]),
        graph('CPU', 'Which process computes?', 'short', [
          query(
            'sum by (service, instance) (rate(process_cpu_seconds_total{job="errata"}[$__rate_interval]))',
            '{{service}} {{instance}}',
          ),
        ]),
        graph('Resident memory', 'Which process grows?', 'bytes', [
          query('process_resident_memory_bytes{job="errata"}', '{{service}} {{instance}}'),
        ]),
        graph('Event loop, 99th percentile', 'Is a process too busy to answer?', 's', [
          query('nodejs_eventloop_lag_p99_seconds{job="errata"}', '{{service}} {{instance}}'),
        ]),
      ],
    },
    {
      title: 'Streams',
      panels: [
        graph(
          'Streams by status',
          'How many streams work?',
          'short',
          [query('max by (status) (errata_streams)', '{{status}}')],
          { stacked: true },
        ),
        graph('Heads', 'Do the logs advance?', 'short', [query('max by (stream) (errata_stream_head)', '{{stream}}')]),
      ],
    },
  ],
};
