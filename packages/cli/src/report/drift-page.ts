import type { DriftResponse } from '@errata/client';
import {
  type Batch,
  budgetInfo,
  type Forecast,
  type GuardsResponse,
  isExceeded,
  type ProbeRound,
  type Stream,
  type StreamEvent,
} from '@errata/contracts';
import { renderChart } from '../bench/chart.js';
import { forecastText, guardDeed, shownValue } from '../drift-text.js';
import { driftCharts } from './drift-charts.js';

/** Everything a report shows. */
export interface DriftReport {
  readonly stream: Stream;
  readonly drift: DriftResponse;
  readonly guards: GuardsResponse;
  readonly batches: readonly Batch[];
  readonly rounds: readonly ProbeRound[];
  readonly events: readonly StreamEvent[];
  /** ISO time at which it was made. */
  readonly at: string;
}

const style = `
:root{color-scheme:light dark;--ground:#fff;--card:#f6f7f9;--ink:#1d2127;--soft:#5c6470;--rule:#d9dde3;--bad:#b3261e;--good:#1b7f4b}
@media(prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2127;--ink:#e6e8eb;--soft:#a3abb6;--rule:#343a43;--bad:#ff8a80;--good:#6fd19b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1400px;padding:28px;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0}h2{font-size:19px;margin:36px 0 12px}p{margin:4px 0}.soft{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:20px 0}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px}
.tile b{display:block;font-size:22px;font-weight:600}.bad{color:var(--bad)}.good{color:var(--good)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:16px}
figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:8px}
svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{font-weight:600;color:var(--soft)}td.number,th.number{padding-right:28px}td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}th.number{text-align:right}td.time{white-space:nowrap}
`;

/** The report as one HTML page that asks for nothing: readable in light and dark. */
export function driftPage(report: DriftReport): string {
  const { stream, guards, batches, rounds, events, at } = report;
  const acted = events.filter((event) => event.kind === 'guard');
  const marks = acted.map(({ detail }) => ({ x: Number(detail.batch), label: String(detail.action) }));
  const charts = driftCharts({ batches, rounds, settings: guards.settings, marks });
  const section = (name: 'layers' | 'probes') =>
    charts
      .filter((one) => one.section === name)
      .map(({ chart }) => `<figure>${renderChart(chart)}</figure>`)
      .join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Drift of ${escaped(stream.name)}</title>
<style>${style}</style>
</head>
<body>
<h1>Drift of ${escaped(stream.name)}</h1>
<p class="soft">${escaped(stream.modelName)}, layers ${stream.config.layers.join(', ')}; position ${stream.head}, log ${escaped(stream.headHash.slice(0, 16))}; made ${escaped(shownTime(at))}</p>
${tiles(report)}
<h2>Budgets and forecast</h2>
${budgetTable(report)}
<h2>What guards did</h2>
${guardTable(acted)}
<h2>The model, probed after batches</h2>
${section('probes') === '' ? '<p class="soft">Nothing was measured yet.</p>' : `<div class="charts">${section('probes')}</div>`}
<h2>The weights, after each batch</h2>
${section('layers') === '' ? '<p class="soft">No batch was measured yet.</p>' : `<div class="charts">${section('layers')}</div>`}
</body>
</html>
`;
}

function tiles({ stream, drift, rounds }: DriftReport): string {
  const readings = drift.readings ?? [];
  const over = readings.filter(isExceeded);
  const next = (drift.forecast ?? [])
    .filter((one): one is Forecast & { editsLeft: number } => one.editsLeft !== null && one.reason === null)
    .sort((a, b) => a.editsLeft - b.editsLeft)
    .at(0);
  const { quarantined = 0 } = stream.counts;
  const tile = (label: string, value: string, kind = '') =>
    `<div class="tile"><span class="soft">${escaped(label)}</span><b class="${kind}">${escaped(value)}</b></div>`;
  return `<div class="tiles">
${tile('Stream', stream.status, stream.status === 'failed' ? 'bad' : '')}
${tile('Edits in the weights', String((stream.counts.verified ?? 0) + (stream.counts.applied ?? 0)))}
${tile('Budgets exceeded', over.length === 0 ? 'none' : over.map(({ budget }) => budget).join(', '), over.length === 0 ? 'good' : 'bad')}
${tile('Edits in quarantine', String(quarantined), quarantined > 0 ? 'bad' : '')}
${tile('Edits left', next ? `${next.editsLeft} (${next.budget})` : 'no trend')}
${tile('Cost of measuring', rounds.length === 0 ? 'nothing yet' : `${(100 * (drift.costShare ?? 0)).toFixed(1)} %`)}
</div>`;
}

function budgetTable({ drift, guards }: DriftReport): string {
  const rows = (drift.forecast ?? []).map((one) => {
    const { title, side } = budgetInfo(one.budget);
    const { action } = guards.settings.budgets[one.budget];
    const over = one.value !== null && isExceeded({ side, value: one.value, limit: one.limit });
    const value = one.value === null ? 'not measured' : shownValue(one.budget, one.value);
    return `<tr><td>${one.budget}<br><span class="soft">${escaped(title)}</span></td><td class="number ${over ? 'bad' : ''}">${escaped(value)}</td><td class="number">${side} ${escaped(shownValue(one.budget, one.limit))}</td><td>${action}</td><td class="number">${one.slope === null ? '' : one.slope.toExponential(1)}</td><td>${escaped(forecastText(one))}</td></tr>`;
  });
  return `<div class="wide"><table><tr><th>budget</th><th class="number">stands at</th><th class="number">exceeded</th><th>then</th><th class="number">an edit adds</th><th>forecast</th></tr>
${rows.join('\n')}</table></div>`;
}

function guardTable(acted: readonly StreamEvent[]): string {
  if (acted.length === 0) return '<p class="soft">Nothing: no budget was exceeded.</p>';
  const rows = acted.map(
    ({ at, detail }) =>
      `<tr><td class="time">${escaped(shownTime(at))}</td><td class="number">${escaped(String(detail.batch))}</td><td>${escaped(String(detail.why))}</td><td>${escaped(guardDeed(detail))}</td><td>${escaped(String(detail.next))}</td></tr>`,
  );
  return `<div class="wide"><table><tr><th>time</th><th class="number">batch</th><th>why</th><th>what was done</th><th>what to do</th></tr>
${rows.join('\n')}</table></div>`;
}

function shownTime(at: string): string {
  return `${at.slice(0, 16).replace('T', ' ')} UTC`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
