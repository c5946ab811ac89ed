/** A query and how its series are named. */
export interface Query {
  readonly expr: string;
  readonly legend: string;
}

/** One picture: a line over time, or the present figure. */
export interface PanelSpec {
  readonly kind: 'graph' | 'figure';
  readonly title: string;
  /** The question it answers; shown as its description. */
  readonly question: string;
  /** Grafana's id of a unit. */
  readonly unit: string;
  readonly queries: readonly Query[];
  readonly stacked?: boolean;
}

export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

export interface DashboardSpec {
  /** Name of its file, and its uid after `errata-`. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Whether a variable chooses streams: `$stream` in the expressions. */
  readonly byStream: boolean;
  readonly rows: readonly RowSpec[];
}

type PanelOptions = Pick<PanelSpec, 'stacked'>;

/** A line over time for every series. */
export function graph(
  title: string,
  question: string,
  unit: string,
  queries: readonly Query[],
  options: PanelOptions = {},
): PanelSpec {
  return { kind: 'graph', title, question, unit, queries, ...options };
}

/** The present value of one expression. */
export function figure(title: string, question: string, unit: string, expr: string): PanelSpec {
  return { kind: 'figure', title, question, unit, queries: [{ expr, legend: '' }] };
}

export function query(expr: string, legend: string): Query {
  return { expr, legend };
}

/** The quantile of a histogram, by labels of it. */
export function quantile(q: number, metric: string, by: readonly string[] = [], selector = ''): string {
  const labels = ['le', ...by].join(', ');
  return `histogram_quantile(${q}, sum by (${labels}) (rate(${metric}_bucket${selector}[$__rate_interval])))`;
}

/** The mean of what a histogram observed, by labels of it. */
export function mean(metric: string, by: readonly string[] = [], selector = ''): string {
  const grouping = by.length === 0 ? 'sum' : `sum by (${by.join(', ')})`;
  const side = (suffix: string) => `${grouping} (rate(${metric}_${suffix}${selector}[$__rate_interval]))`;
  return `${side('sum')} / ${side('count')}`;
}
