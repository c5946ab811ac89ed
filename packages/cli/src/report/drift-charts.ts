import {
  ageBuckets,
  type Batch,
  type Budget,
  type GuardSettings,
  type LayerDrift,
  type ProbeResults,
  type ProbeRound,
} from '@errata/contracts';
import type { Chart, Series } from '../bench/chart.js';

/** What the charts of a report are drawn from. */
export interface DriftHistory {
  /** Committed batches, by seq. */
  readonly batches: readonly Batch[];
  readonly rounds: readonly ProbeRound[];
  readonly settings: GuardSettings;
  /** Where guards acted: the batch, and what was done. */
  readonly marks: readonly { readonly x: number; readonly label: string }[];
}

/** A chart with the heading it belongs under. */
export interface ReportChart {
  readonly section: 'layers' | 'probes';
  readonly chart: Chart;
}

type Point = readonly [number, number];

const percent = (value: number) => 100 * value;
const same = (value: number) => value;

/** A horizontal line where a budget ends. */
function limitLine(
  history: DriftHistory,
  budget: Budget,
  show: (value: number) => number,
  xs: readonly number[],
): Series[] {
  const { limit, action } = history.settings.budgets[budget];
  if (action === 'off' || xs.length === 0) return [];
  const y = show(limit);
  return [
    {
      name: `budget (${action})`,
      style: 'dashed',
      colour: 1,
      points: [
        [0, y],
        [Math.max(...xs), y],
      ],
    },
  ];
}

/** The points of the head's lineage joined, those that were taken back as dots. */
function lineage(name: string, colour: number, all: readonly { point: Point; onHead: boolean }[]): Series[] {
  const kept = all.filter((one) => one.onHead).map((one) => one.point);
  const left = all.filter((one) => !one.onHead).map((one) => one.point);
  return [
    ...(kept.length > 0 ? [{ name, colour, points: kept }] : []),
    ...(left.length > 0 ? [{ name: `${name}, taken back`, colour: 6, style: 'rings' as const, points: left }] : []),
  ];
}

function chart(
  history: DriftHistory,
  title: string,
  subtitle: string,
  yLabel: string,
  series: readonly Series[],
): Chart[] {
  if (series.every(({ points }) => points.length === 0)) return [];
  const shown = series.filter(({ points }) => points.length > 0);
  return [
    {
      title,
      subtitle,
      xLabel: 'position of the log',
      yLabel,
      xScale: 'linear',
      wholeX: true,
      yScale: 'linear',
      series: shown,
      marks: history.marks,
    },
  ];
}

/** A figure of the layers over the positions of the head's lineage. */
function perLayer(
  history: DriftHistory,
  title: string,
  subtitle: string,
  yLabel: string,
  pick: (layer: LayerDrift) => number | undefined,
  budget?: { readonly name: Budget; readonly show: (value: number) => number },
): Chart[] {
  const measured = history.batches.filter((batch) => batch.onHead && batch.drift.length > 0);
  const layers = [...new Set(measured.flatMap((batch) => batch.drift.map((one) => one.layer)))].sort((a, b) => a - b);
  const series = layers.map((layer, i): Series => {
    const points = measured.flatMap((batch): Point[] => {
      const found = batch.drift.find((one) => one.layer === layer);
      const value = found && pick(found);
      return value === undefined ? [] : [[batch.seq, value]];
    });
    return { name: `layer ${layer}`, colour: i === 1 ? 2 : i === 2 ? 3 : i, points };
  });
  const xs = measured.map((batch) => batch.seq);
  return chart(history, title, subtitle, yLabel, [
    ...series,
    ...(budget ? limitLine(history, budget.name, budget.show, xs) : []),
  ]);
}

/** A kind of probe over the rounds that measured it. */
function probed(
  { rounds }: DriftHistory,
  value: (results: ProbeResults) => { seq: number; value: number } | undefined,
): { point: Point; onHead: boolean }[] {
  return rounds.flatMap((round) => {
    const found = value(round.results);
    return found?.seq === round.seq ? [{ point: [round.seq, found.value] as const, onHead: round.onHead }] : [];
  });
}

const share = (found: { seq: number; asked: number; held: number } | undefined) =>
  found && found.asked > 0 ? { seq: found.seq, value: percent(found.held / found.asked) } : undefined;

function probeChart(
  history: DriftHistory,
  title: string,
  subtitle: string,
  yLabel: string,
  lines: readonly { readonly name: string; readonly points: readonly { point: Point; onHead: boolean }[] }[],
  budget?: { readonly name: Budget; readonly show: (value: number) => number },
): Chart[] {
  const colours = [0, 2, 3, 4, 5];
  const xs = lines.flatMap(({ points }) => points.map(({ point }) => point[0]));
  if (xs.length === 0) return [];
  return chart(history, title, subtitle, yLabel, [
    ...lines.flatMap(({ name, points }, i) => lineage(name, colours[i % colours.length], points)),
    ...(budget ? limitLine(history, budget.name, budget.show, xs) : []),
  ]);
}

/** All charts of a drift report; those without a point are left out. */
export function driftCharts(history: DriftHistory): ReportChart[] {
  const layers = [
    ...perLayer(history, 'Norm of the change', '‖W − W₀‖, Frobenius', '‖W − W₀‖', (layer) => layer.deltaNorm),
    ...perLayer(
      history,
      'Share of the bound',
      '‖W − W₀‖ over its published bound',
      '%',
      (layer) => layer.boundShare && percent(layer.boundShare),
      { name: 'boundShare', show: percent },
    ),
    ...perLayer(
      history,
      'Spectral norm',
      'Largest singular value of W − W₀',
      '‖W − W₀‖₂',
      (layer) => layer.spectralNorm,
    ),
    ...perLayer(
      history,
      'Deviation on the anchor',
      '‖(W − W₀) K₀‖: change on what must stay',
      '‖(W − W₀) K₀‖',
      (layer) => layer.anchorDeviation,
    ),
    ...perLayer(
      history,
      'Effective rank',
      'Directions with 99 % of the change',
      'directions',
      (layer) => layer.effectiveRank,
    ),
    ...perLayer(
      history,
      'Freedom left',
      'tr C / tr C₀: what the keys of further edits may still use',
      '%',
      (layer) => layer.capacityLeft && percent(layer.capacityLeft),
      { name: 'capacityLeft', show: percent },
    ),
  ];
  const probes = [
    ...probeChart(
      history,
      'Perplexity over the unedited model',
      'Held-out text, the same windows',
      '%',
      [
        {
          name: 'increase',
          points: probed(
            history,
            ({ heldOut }) =>
              heldOut && { seq: heldOut.seq, value: percent(heldOut.perplexity / heldOut.basePerplexity - 1) },
          ),
        },
      ],
      { name: 'perplexityIncrease', show: percent },
    ),
    ...probeChart(
      history,
      'Divergence',
      'Mean KL(unedited ‖ edited) of the next token on held-out text',
      'nats',
      [
        {
          name: 'divergence',
          points: probed(history, ({ heldOut }) => heldOut && { seq: heldOut.seq, value: heldOut.divergence }),
        },
      ],
      { name: 'divergence', show: same },
    ),
    ...probeChart(
      history,
      'Earlier edits still answered',
      'By the steps since they were written',
      '%',
      ageBuckets.map((age) => ({
        name: `${age} steps ago`,
        points: probed(history, ({ retention }) => {
          const found = retention?.byAge.find((one) => one.age === age);
          return retention && found && share({ ...found, seq: retention.seq });
        }),
      })),
      { name: 'retention', show: percent },
    ),
    ...probeChart(
      history,
      'General knowledge kept',
      'Of the built-in questions that the unedited model answers right',
      '%',
      [{ name: 'kept', points: probed(history, ({ ability }) => share(ability)) }],
      { name: 'abilityLoss', show: (limit) => percent(1 - limit) },
    ),
    ...probeChart(
      history,
      'Around the edits',
      'Neighbours that keep their answer, paraphrases that prefer the target',
      '%',
      [
        { name: 'neighbours', points: probed(history, ({ neighbours }) => share(neighbours)) },
        { name: 'paraphrases', points: probed(history, ({ paraphrases }) => share(paraphrases)) },
      ],
      { name: 'neighboursKept', show: percent },
    ),
    ...probeChart(
      history,
      'Canaries lost',
      'Answers that must stay, and are gone',
      'canaries',
      [
        {
          name: 'lost',
          points: probed(history, ({ canaries }) => canaries && { seq: canaries.seq, value: canaries.lost.length }),
        },
      ],
      { name: 'canariesLost', show: same },
    ),
    ...probeChart(history, 'Cost of measuring', 'Share of the time of editing, so far', '%', [
      {
        name: 'cost',
        points: history.rounds.map(({ seq, costShare, onHead }) => ({ point: [seq, percent(costShare)], onHead })),
      },
    ]),
  ];
  return [
    ...layers.map((one) => ({ section: 'layers' as const, chart: one })),
    ...probes.map((one) => ({ section: 'probes' as const, chart: one })),
  ];
}
