import * as common from '@grafana/grafana-foundation-sdk/common';
import { StackingMode } from '@grafana/grafana-foundation-sdk/common';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import type { DashboardSpec, PanelSpec } from './panels.js';

/** Whichever Prometheus the viewer chooses; the first one to begin with. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana's
const datasource = { type: 'prometheus', uid: '${datasource}' };
/** The grid of a dashboard is 24 wide. */
const gridWidth = 24;
const graphSize = { width: 12, height: 8 };
const figureHeight = 4;

function queries(panel: PanelSpec): DataqueryBuilder[] {
  return panel.queries.map(({ expr, legend }, index) => {
    const built = new DataqueryBuilder()
      .datasource(datasource)
      .refId(String.fromCharCode(65 + index))
      .expr(expr);
    return panel.kind === 'figure' ? built.instant() : built.range().legendFormat(legend);
  });
}

function panelBuilder(panel: PanelSpec, width: number): timeseries.PanelBuilder | stat.PanelBuilder {
  const { title, question, unit } = panel;
  if (panel.kind === 'figure')
    return new stat.PanelBuilder()
      .title(title)
      .description(question)
      .datasource(datasource)
      .unit(unit)
      .height(figureHeight)
      .span(width)
      .targets(queries(panel));
  const built = new timeseries.PanelBuilder()
    .title(title)
    .description(question)
    .datasource(datasource)
    .unit(unit)
    .height(graphSize.height)
    .span(graphSize.width)
    .targets(queries(panel));
  if (panel.stacked !== true) return built;
  return built.fillOpacity(30).stacking(new common.StackingConfigBuilder().mode(StackingMode.Normal));
}

/** The dashboard as Grafana reads it. */
export function buildDashboard({ name, title, description, byStream, rows }: DashboardSpec): Dashboard {
  const built = new DashboardBuilder(title)
    .uid(`errata-${name}`)
    .description(description)
    .tags(['errata'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .refresh('30s')
    .time({ from: 'now-6h', to: 'now' })
    .timezone('browser')
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'));
  if (byStream)
    built.withVariable(
      new QueryVariableBuilder('stream')
        .label('Stream')
        .datasource(datasource)
        .query('label_values(errata_stream_head, stream)')
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .multi(true)
        .includeAll(true)
        .allValue('.*')
        .current({ text: 'All', value: '$__all' }),
    );
  for (const row of rows) {
    built.withRow(new RowBuilder(row.title));
    const figures = row.panels.filter((panel) => panel.kind === 'figure').length;
    for (const panel of row.panels) built.withPanel(panelBuilder(panel, Math.floor(gridWidth / Math.max(1, figures))));
  }
  return built.build();
}
