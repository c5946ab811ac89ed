import { type DashboardSpec, figure, graph, query } from '../panels.js';

const edits = 'sum(rate(errata_edits_committed_total[$__rate_interval]))';
const phase = (name: string) =>
  `sum(rate(errata_batch_phase_duration_seconds_sum{phase="${name}"}[$__rate_interval])) / ${edits}`;

/** What does an edit cost? */
export const cost: DashboardSpec = {
  name: 'cost',
  title: 'Errata / Cost',
  description: 'What an edit costs in time, processor, memory and disk',
  byStream: false,
  rows: [
    {
      title: 'An edit',
      panels: [
        figure(
          'Seconds an edit',
          'How long did an edit take in the last hour, from claim to commit?',
          's',
          'sum(increase(errata_batch_phase_duration_seconds_sum{phase="total"}[1h])) / sum(increase(errata_edits_committed_total[1h]))',
        ),
        figure(
          'CPU seconds an edit',
          'How much processor did an edit take in the last hour, everything included?',
          's',
          'sum(increase(process_cpu_seconds_total{job="errata"}[1h])) / sum(increase(errata_edits_committed_total[1h]))',
        ),
        figure('Log on disk', 'How large is the log?', 'bytes', 'max(errata_log_bytes)'),
        figure('Database on disk', 'How large is everything kept?', 'bytes', 'max(errata_database_bytes)'),
      ],
    },
    {
      title: 'Over time',
      panels: [
        graph('Seconds an edit, by phase', 'Which phase makes edits expensive?', 's', [
          query(phase('targets'), 'targets'),
          query(phase('keys'), 'keys'),
          query(phase('update'), 'update'),
          query(phase('total'), 'total'),
        ]),
        graph(
          'CPU by service',
          'Which service is paid for?',
          'short',
          [query('sum by (service) (rate(process_cpu_seconds_total{job="errata"}[$__rate_interval]))', '{{service}}')],
          { stacked: true },
        ),
        graph(
          'Memory by service',
          'Which service needs memory?',
          'bytes',
          [query('sum by (service) (process_resident_memory_bytes{job="errata"})', '{{service}}')],
          { stacked: true },
        ),
        graph('Growth of the log', 'How fast does the log grow?', 'Bps', [
          query('max(deriv(errata_log_bytes[30m]))', 'log'),
        ]),
        graph('Size of the database', 'When is the disk full?', 'bytes', [
          query('max(errata_log_bytes)', 'log'),
          query('max(errata_database_bytes)', 'database'),
        ]),
      ],
    },
  ],
};
