import { type DashboardSpec, graph, mean, quantile, query } from '../panels.js';

const batchPhases = 'errata_batch_phase_duration_seconds';

/** Where are edits between the request and the weights? */
export const pipeline: DashboardSpec = {
  name: 'pipeline',
  title: 'Errata / Pipeline and ingestion',
  description: 'Where edits are between the request that brings them and the weights, and where their time goes',
  byStream: true,
  rows: [
    {
      title: 'Ingestion',
      panels: [
        graph('Requests', 'What is asked of the API?', 'reqps', [
          query(
            'sum by (method, route, code) (rate(http_request_duration_seconds_count[$__rate_interval]))',
            '{{method}} {{route}} {{code}}',
          ),
        ]),
        graph('Request time, 95th percentile', 'Which route is slow?', 's', [
          query(quantile(0.95, 'http_request_duration_seconds', ['route']), '{{route}}'),
        ]),
        graph('Edits accepted and written', 'Does writing keep up with what arrives?', 'short', [
          query('sum(rate(errata_edits_accepted_total[$__rate_interval]))', 'accepted'),
          query('sum by (kind) (rate(errata_edits_committed_total[$__rate_interval]))', 'committed: {{kind}}'),
        ]),
        graph('Server errors', 'Which share of requests fails for a reason of ours?', 'percentunit', [
          query(
            '(sum(rate(http_request_duration_seconds_count{code=~"5.."}[$__rate_interval])) or vector(0)) / sum(rate(http_request_duration_seconds_count[$__rate_interval]))',
            '5xx',
          ),
        ]),
      ],
    },
    {
      title: 'Queue',
      panels: [
        graph(
          'Edits not written yet',
          'Which stream falls behind?',
          'short',
          [query('max by (stream, status) (errata_queue_edits{stream=~"$stream"})', '{{stream}} {{status}}')],
          { stacked: true },
        ),
        graph('Oldest waiting edit', 'How long does an edit wait?', 's', [
          query('max by (stream) (errata_queue_oldest_seconds{stream=~"$stream"})', '{{stream}}'),
        ]),
      ],
    },
    {
      title: 'Batches',
      panels: [
        graph('Time of a batch, by phase', 'Where does the time of a batch go?', 's', [
          query(mean(batchPhases, ['phase'], '{kind="apply"}'), '{{phase}}'),
        ]),
        graph('Whole batch, 95th percentile', 'How slow are the slowest batches?', 's', [
          query(quantile(0.95, batchPhases, ['kind'], '{phase="total"}'), '{{kind}}'),
        ]),
        graph('Adam steps of an edit', 'Do targets become harder to find?', 'short', [
          query(mean('errata_target_search_steps'), 'mean'),
        ]),
        graph('Answers after a batch', 'Does the model say what was written?', 'percentunit', [
          query(
            'sum(rate(errata_edits_asked_total{outcome="verified"}[$__rate_interval])) / sum(rate(errata_edits_asked_total[$__rate_interval]))',
            'verified',
          ),
        ]),
      ],
    },
    {
      title: 'Activities and Temporal',
      panels: [
        graph('Activities', 'What does the orchestrator do?', 'ops', [
          query('sum by (activity) (rate(errata_activity_duration_seconds_count[$__rate_interval]))', '{{activity}}'),
        ]),
        graph('Failures', 'What is tried again, and why?', 'ops', [
          query(
            'sum by (activity, code) (rate(errata_activity_failures_total[$__rate_interval])) or vector(0)',
            '{{activity}} {{code}}',
          ),
        ]),
        graph('Waiting for a worker, 95th percentile', 'Are there enough orchestrators?', 's', [
          query(quantile(0.95, 'temporal_activity_schedule_to_start_latency_seconds'), 'activities'),
          query(quantile(0.95, 'temporal_workflow_task_schedule_to_start_latency_seconds'), 'workflow tasks'),
        ]),
        graph('Slots', 'How much of an orchestrator is taken?', 'short', [
          query('sum by (worker_type) (temporal_worker_task_slots_used)', '{{worker_type}} used'),
          query('sum by (worker_type) (temporal_worker_task_slots_available)', '{{worker_type}} free'),
        ]),
        graph('Tasks by capability', 'Which capability needs more orchestrators?', 'short', [
          query('max by (capability) (errata_task_queue_backlog)', '{{capability}} waiting'),
          query(
            'sum by (task_queue) (temporal_worker_task_slots_used{worker_type="ActivityWorker"})',
            '{{task_queue}} running',
          ),
        ]),
        graph('Orchestrators by capability', 'Does every capability have an orchestrator?', 'short', [
          query('max by (capability) (errata_task_queue_pollers)', '{{capability}}'),
        ]),
      ],
    },
  ],
};
