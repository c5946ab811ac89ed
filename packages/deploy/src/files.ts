import { readFileSync } from 'node:fs';
import { buildDashboard } from './build-dashboard.js';
import { dashboards } from './dashboards/index.js';

/** The root of the repository, seen from src/ and from dist/ alike. */
export const repository = new URL('../../../', import.meta.url);

const chart = 'deploy/helm/errata/files';
const rules = 'deploy/prometheus/rules/errata.yml';

/** Every file below deploy/ that is generated, by its path in the repository, with its content. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const spec of dashboards) {
    const dashboard = buildDashboard(spec);
    files.set(`deploy/grafana/dashboards/${spec.name}.json`, `${JSON.stringify(dashboard, null, 2)}\n`);
    // A chart can only read what lies inside it.
    files.set(`${chart}/dashboards/${spec.name}.json`, `${JSON.stringify(dashboard)}\n`);
  }
  files.set(`${chart}/rules.yml`, readFileSync(new URL(rules, repository), 'utf8'));
  return files;
}
