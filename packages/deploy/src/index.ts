export { buildDashboard } from './build-dashboard.js';
export { dashboards } from './dashboards/index.js';
export { generatedFiles } from './files.js';
export type { DashboardSpec, PanelSpec, Query, RowSpec } from './panels.js';
