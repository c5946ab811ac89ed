import { type DashboardSpec, figure, graph, mean, type PanelSpec, query } from '../panels.js';

const perLayer = (title: string, question: string, unit: string, metric: string): PanelSpec =>
  graph(title, question, unit, [
    query(`max by (stream, layer) (${metric}{stream=~"$stream"})`, '{{stream}} layer {{layer}}'),
  ]);
const perStream = (title: string, question: string, unit: string, metric: string): PanelSpec =>
  graph(title, question, unit, [query(`max by (stream) (${metric}{stream=~"$stream"})`, '{{stream}}')]);

/** What have the edits done to the model? */
export const streamDrift: DashboardSpec = {
  name: 'stream-drift',
  title: 'Errata / Stream drift',
  description: 'What the edits of a stream have done to the model: measured after each batch, and at each evaluation',
  byStream: true,
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Largest share of the bound',
          'How far is the change from the most that it can be?',
          'percentunit',
          'max(errata_drift_bound_share{stream=~"$stream"})',
        ),
        figure(
          'Perplexity over the base',
          'How much worse is held-out text predicted?',
          'percentunit',
          'max(max by (stream) (errata_evaluation_perplexity{stream=~"$stream"}) / max by (stream) (errata_evaluation_base_perplexity{stream=~"$stream"}) - 1)',
        ),
        figure(
          'Edits that hold',
          'Which share of edits is answered, in the worst stream?',
          'percentunit',
          'min(errata_evaluation_rewrite_ratio{stream=~"$stream"})',
        ),
        figure(
          'Neighbours kept',
          'Which share of neighbours keeps its answer, in the worst stream?',
          'percentunit',
          'min(errata_evaluation_neighbour_ratio{stream=~"$stream"})',
        ),
      ],
    },
    {
      title: 'The weights, after each batch',
      panels: [
        perLayer('Norm of the change', 'How far has a layer moved?', 'short', 'errata_drift_delta_norm'),
        perLayer(
          'Share of the bound',
          'How much of the published bound is used?',
          'percentunit',
          'errata_drift_bound_share',
        ),
        perLayer('Spectral norm', 'Is one direction amplified?', 'short', 'errata_drift_spectral_norm'),
        perLayer(
          'Deviation on the anchor',
          'How much changes on what must stay?',
          'short',
          'errata_drift_anchor_deviation',
        ),
      ],
    },
    {
      title: 'Capacity of the key space',
      panels: [
        perLayer('Effective rank', 'How many directions carry the change?', 'short', 'errata_drift_effective_rank'),
        perLayer('Columns recorded', 'How long is the history?', 'short', 'errata_drift_rank'),
        perLayer(
          'Information spent',
          'How much of the key space is spent (nats)?',
          'short',
          'errata_drift_information_nats',
        ),
        perLayer(
          'Freedom left',
          'How much of the freedom of the keys is left?',
          'percentunit',
          'errata_drift_capacity_left_ratio',
        ),
        perLayer(
          'Change along edited keys',
          'How much is an edited direction turned?',
          'short',
          'errata_drift_edited_norm',
        ),
        perLayer('Condition number', 'Is arithmetic still safe?', 'short', 'errata_drift_condition_estimate'),
        perLayer(
          'Conditioning of the newest revocation',
          'Was it exact without an inversion (least eigenvalue above 0.001)?',
          'short',
          'errata_drift_revocation_eigenvalue',
        ),
        perStream('Head', 'At which position was this measured?', 'short', 'errata_stream_head'),
      ],
    },
    {
      title: 'The model, probed after batches',
      panels: [
        graph('Perplexity, probed', 'Does the model still speak?', 'short', [
          query('max by (stream) (errata_probe_perplexity{stream=~"$stream"})', '{{stream}}'),
          query('max by (stream) (errata_probe_base_perplexity{stream=~"$stream"})', '{{stream}} unedited'),
        ]),
        graph('Divergence from the unedited model', 'How otherwise is held-out text predicted (nats)?', 'short', [
          query('max by (stream) (errata_probe_divergence_nats{stream=~"$stream"})', '{{stream}}'),
          query('max by (stream) (errata_guard_limit{stream=~"$stream", budget="divergence"})', '{{stream}} budget'),
        ]),
        graph('Earlier edits', 'Are earlier edits forgotten, by the steps since then?', 'percentunit', [
          query(
            'min by (stream, age) (errata_probe_retention_ratio{stream=~"$stream"})',
            '{{stream}} {{age}} steps ago',
          ),
        ]),
        perStream('General knowledge', 'Is anything else forgotten?', 'percentunit', 'errata_probe_ability_ratio'),
        graph('Around the edits', 'Do edits generalise, and spill over?', 'percentunit', [
          query('min by (stream) (errata_probe_paraphrase_ratio{stream=~"$stream"})', '{{stream}} paraphrases'),
          query('min by (stream) (errata_probe_neighbour_ratio{stream=~"$stream"})', '{{stream}} neighbours kept'),
        ]),
        perStream('Canaries lost', 'Is an answer gone that must stay?', 'short', 'errata_probe_canaries_lost'),
      ],
    },
    {
      title: 'Budgets and guards',
      panels: [
        graph('Budgets exceeded', 'Which budget is exceeded (1)?', 'short', [
          query('max by (stream, budget) (errata_guard_exceeded{stream=~"$stream"})', '{{stream}} {{budget}}'),
        ]),
        graph('Edits left', 'How long do budgets last at the present slope?', 'short', [
          query('min by (stream, budget) (errata_forecast_edits_left{stream=~"$stream"})', '{{stream}} {{budget}}'),
        ]),
        graph('What guards did', 'Which budget made them act?', 'short', [
          query(
            'sum by (budget, action) (increase(errata_guard_actions_total[$__rate_interval]))',
            '{{budget}} {{action}}',
          ),
        ]),
        perStream('Edits in quarantine', 'What waits for a person?', 'short', 'errata_quarantine_edits'),
        perStream(
          'Cost of measuring',
          'Which share of the time of editing does measuring take?',
          'percentunit',
          'errata_probe_cost_ratio',
        ),
        graph('Time of a probe, mean', 'What is dear?', 's', [
          query(mean('errata_probe_duration_seconds', ['kind']), '{{kind}}'),
        ]),
      ],
    },
    {
      title: 'The model, at each evaluation',
      panels: [
        graph('Perplexity on held-out text', 'Does the model still speak?', 'short', [
          query('max by (stream) (errata_evaluation_perplexity{stream=~"$stream"})', '{{stream}}'),
          query('max by (stream) (errata_evaluation_base_perplexity{stream=~"$stream"})', '{{stream}} unedited'),
        ]),
        perStream('Edits that hold', 'Are earlier edits forgotten?', 'percentunit', 'errata_evaluation_rewrite_ratio'),
        perStream('Paraphrases', 'Do edits generalise?', 'percentunit', 'errata_evaluation_paraphrase_ratio'),
        perStream('Neighbours kept', 'Do edits spill over?', 'percentunit', 'errata_evaluation_neighbour_ratio'),
      ],
    },
  ],
};
