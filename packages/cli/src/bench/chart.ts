import { createAxis, type ScaleKind } from './axis.js';

/** Points joined by a line. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /**
   * `dashed` for what is computed rather than measured; `dots` where points are many, `rings` where they belong to no line.
   * Default `line`: with markers.
   */
  readonly style?: 'line' | 'dashed' | 'dots' | 'rings';
  /** Which of the eight colours; series of one colour belong together. Default: its place in the list. */
  readonly colour?: number;
}

/** A chart with two axes. */
export interface Chart {
  readonly title: string;
  /** What was measured and where, under the title. */
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xScale: ScaleKind;
  /** Whether x is a count: no marks between whole numbers. */
  readonly wholeX?: boolean;
  readonly yScale: ScaleKind;
  readonly series: readonly Series[];
  /** Places along the x axis that something happened at. */
  readonly marks?: readonly { readonly x: number; readonly label: string }[];
}

const width = 760;
const height = 430;
const plot = { left: 78, top: 66, right: 190, bottom: 58 };
const plotWidth = width - plot.left - plot.right;
const plotHeight = height - plot.top - plot.bottom;
/** Least distance of two labels beside the curves. */
const labelHeight = 16;

/** Colours of Okabe and Ito (2008), told apart with any colour vision; mid-tones that stand out on white and black. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#888888', '#b2a600'];

const styles = `text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:16px;font-weight:600}.small{font-size:12px;fill:#666}.grid{stroke:#888;stroke-opacity:.25}.axis{stroke:#888}.mark{stroke:#d55e00;stroke-dasharray:2 3}@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}}`;

/**
 * The chart as an SVG document, readable on light and dark ground. Curves are named beside their ends.
 * @throws Error when there is no point, or one that the scales cannot place
 */
export function renderChart(chart: Chart): string {
  const points = chart.series.flatMap((series) => series.points);
  checkPoints(chart, points);
  const xAxis = createAxis(chart.xScale, [...points.map(([x]) => x), ...(chart.marks ?? []).map((mark) => mark.x)]);
  const yAxis = createAxis(
    chart.yScale,
    points.map(([, y]) => y),
  );
  const x = (value: number) => plot.left + plotWidth * xAxis.place(value);
  const y = (value: number) => plot.top + plotHeight * (1 - yAxis.place(value));
  const bottom = plot.top + plotHeight;
  const right = plot.left + plotWidth;
  const parts = [
    text(plot.left, 26, chart.title, 'class="title"'),
    text(plot.left, 46, chart.subtitle, 'class="small"'),
    ...yAxis.ticks.flatMap((tick) => [
      line(plot.left, y(tick), right, y(tick), 'grid'),
      text(plot.left - 8, y(tick) + 4, yAxis.label(tick), 'class="small" text-anchor="end"'),
    ]),
    ...xAxis.ticks
      .filter((tick) => chart.wholeX !== true || Number.isInteger(tick))
      .flatMap((tick) => [
        line(x(tick), plot.top, x(tick), bottom, 'grid'),
        text(x(tick), bottom + 18, xAxis.label(tick), 'class="small" text-anchor="middle"'),
      ]),
    line(plot.left, bottom, right, bottom, 'axis'),
    line(plot.left, plot.top, plot.left, bottom, 'axis'),
    text(plot.left + plotWidth / 2, height - 14, chart.xLabel, 'text-anchor="middle"'),
    text(
      20,
      plot.top + plotHeight / 2,
      chart.yLabel,
      `text-anchor="middle" transform="rotate(-90 20 ${round(plot.top + plotHeight / 2)})"`,
    ),
    ...(chart.marks ?? []).flatMap((mark) => [
      line(x(mark.x), plot.top, x(mark.x), bottom, 'mark'),
      text(x(mark.x) - 4, plot.top + 12, mark.label, 'class="small" text-anchor="end"'),
    ]),
    ...chart.series.map((series, i) => drawSeries(series, colours[(series.colour ?? i) % colours.length], x, y)),
    ...labels(chart.series, y, right),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(chart.title)}</title>`,
    `<style>${styles}</style>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function checkPoints(chart: Chart, points: readonly (readonly [number, number])[]): void {
  if (points.length === 0) throw new Error(`the chart "${chart.title}" has no points`);
  for (const [x, y] of points)
    for (const [scale, value] of [
      [chart.xScale, x],
      [chart.yScale, y],
    ] as const)
      if (!Number.isFinite(value) || (scale === 'log' && value <= 0))
        throw new Error(`the chart "${chart.title}" cannot place ${value} on a ${scale} axis`);
}

function drawSeries(series: Series, colour: string, x: (v: number) => number, y: (v: number) => number): string {
  const places = series.points.map(([px, py]) => [round(x(px)), round(y(py))] as const);
  const path = `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${places.map((p) => p.join(',')).join(' ')}"`;
  const dots = (radius: number, opacity: number) =>
    places
      .map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="${radius}" fill="${colour}" fill-opacity="${opacity}"/>`)
      .join('');
  switch (series.style ?? 'line') {
    case 'line':
      return `${path}/>${dots(3.5, 1)}`;
    case 'dashed':
      return `${path} stroke-dasharray="6 5"/>`;
    case 'dots':
      return dots(2, 0.7);
    case 'rings':
      return places
        .map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="4.5" fill="none" stroke="${colour}" stroke-width="2"/>`)
        .join('');
  }
}

/** Names beside the last points, moved apart where they would overlap. */
function labels(series: readonly Series[], y: (value: number) => number, right: number): string[] {
  const wanted = series
    .map(({ name, points, colour }, i) => ({ name, at: y(points[points.length - 1][1]), colour: colour ?? i }))
    .filter(({ name }) => name !== '')
    .sort((a, b) => a.at - b.at);
  for (let i = 1; i < wanted.length; i++) wanted[i].at = Math.max(wanted[i].at, wanted[i - 1].at + labelHeight);
  let limit = plot.top + plotHeight;
  for (const label of wanted.toReversed()) {
    label.at = Math.min(label.at, limit);
    limit = label.at - labelHeight;
  }
  return wanted.map(({ name, at, colour }) =>
    text(right + 10, at + 4, name, `style="fill:${colours[colour % colours.length]}"`),
  );
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): string {
  return `<line class="${name}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(content)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
