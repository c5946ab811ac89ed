import { isExceeded, type ProbeResults } from '@errata/contracts';
import type { ProbeFigures } from '@errata/store';
import type { FillGauge, Reading } from './stream-metrics.js';

/** Figures of the newest results, one of a stream. */
const resultGauges: readonly (readonly [
  name: string,
  help: string,
  of: (results: ProbeResults) => number | undefined,
])[] = [
  ['errata_probe_perplexity', 'Perplexity on held-out text', ({ heldOut }) => heldOut?.perplexity],
  [
    'errata_probe_base_perplexity',
    'Perplexity of the unedited model on the same text',
    ({ heldOut }) => heldOut?.basePerplexity,
  ],
  [
    'errata_probe_divergence_nats',
    'Mean KL(unedited || edited) of the next token on held-out text',
    ({ heldOut }) => heldOut?.divergence,
  ],
  ['errata_probe_paraphrase_ratio', 'Paraphrases that prefer the target', ({ paraphrases }) => ratio(paraphrases)],
  ['errata_probe_neighbour_ratio', 'Neighbours that keep their answer', ({ neighbours }) => ratio(neighbours)],
  [
    'errata_probe_ability_ratio',
    'Built-in questions that the unedited model answers right and the edited one too',
    ({ ability }) => ratio(ability),
  ],
  ['errata_probe_canaries', 'Canaries asked', ({ canaries }) => canaries?.asked],
  ['errata_probe_canaries_lost', 'Canaries that held before and do not now', ({ canaries }) => canaries?.lost.length],
];

function ratio(found: { asked: number; held: number } | undefined): number | undefined {
  return found === undefined || found.asked === 0 ? undefined : found.held / found.asked;
}

/** Shows the newest round of probes of every stream, its budgets and how long they last. */
export function exportProbeMetrics(gauge: FillGauge, limit: number): void {
  const each = ({ streams, probes }: Reading, show: (stream: string, figures: ProbeFigures) => void) => {
    for (const { streamId, name } of streams.slice(0, limit)) {
      const figures = probes.find((one) => one.streamId === streamId);
      if (figures !== undefined) show(name, figures);
    }
  };
  for (const [name, help, of] of resultGauges)
    gauge(name, `${help}, as measured last`, ['stream'], (self, reading) =>
      each(reading, (stream, { results }) => {
        const value = of(results);
        if (value !== undefined) self.set({ stream }, value);
      }),
    );
  gauge(
    'errata_probe_retention_ratio',
    'Earlier edits that are still answered, by the steps since they were written, as measured last',
    ['stream', 'age'],
    (self, reading) =>
      each(reading, (stream, { results: { retention } }) => {
        for (const { age, asked, held } of retention?.byAge ?? []) self.set({ stream, age }, held / asked);
      }),
  );
  gauge('errata_probe_position', 'Position of the newest round of probes', ['stream'], (self, reading) =>
    each(reading, (stream, { seq }) => {
      if (seq > 0) self.set({ stream }, seq);
    }),
  );
  gauge('errata_probe_cost_ratio', 'What measuring has cost over the time of editing', ['stream'], (self, reading) =>
    each(reading, (stream, { costShare }) => self.set({ stream }, costShare)),
  );
  gauge(
    'errata_quarantine_edits',
    'Edits that a guard took back and nobody has looked at',
    ['stream'],
    (self, reading) => each(reading, (stream, { quarantined }) => self.set({ stream }, quarantined)),
  );
  gauge('errata_guard_value', 'What a budget stands at', ['stream', 'budget'], (self, reading) =>
    each(reading, (stream, { readings }) => {
      for (const { budget, value } of readings) self.set({ stream, budget }, value);
    }),
  );
  gauge('errata_guard_limit', 'Where a budget is exceeded', ['stream', 'budget'], (self, reading) =>
    each(reading, (stream, { readings }) => {
      for (const { budget, limit: most } of readings) self.set({ stream, budget }, most);
    }),
  );
  gauge('errata_guard_exceeded', 'Whether a budget is exceeded (1) or not (0)', ['stream', 'budget'], (self, reading) =>
    each(reading, (stream, { readings }) => {
      for (const one of readings) self.set({ stream, budget: one.budget }, isExceeded(one) ? 1 : 0);
    }),
  );
  gauge(
    'errata_forecast_edits_left',
    'Edits until a budget is reached at the present slope; absent where nothing is foreseen',
    ['stream', 'budget'],
    (self, { streams, forecasts }) => {
      for (const { streamId, name } of streams.slice(0, limit))
        for (const { budget, editsLeft } of forecasts.get(streamId) ?? [])
          if (editsLeft !== null) self.set({ stream: name, budget }, editsLeft);
    },
  );
}
