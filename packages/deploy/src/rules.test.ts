import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { dashboards } from './dashboards/index.js';
import { repository } from './files.js';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('deploy/prometheus', repository));
const prometheus = process.env.ERRATA_PROMETHEUS;
const promtool = (...args: string[]) => run(join(dirname(prometheus ?? ''), 'promtool'), args, { cwd: folder });

interface RuleFile {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly annotations?: { readonly summary: string; readonly runbook: string };
}

const rules = (parse(readFileSync(join(folder, 'rules/errata.yml'), 'utf8')) as RuleFile).groups.flatMap(
  (group) => group.rules,
);
const tests = readdirSync(join(folder, 'tests')).map((name) => join('tests', name));

if (prometheus === undefined)
  console.warn('no promtool: the rules are not tested; put Prometheus on PATH, or run `npm run setup -- --test`');

test.skipIf(prometheus === undefined)('promtool takes configuration and rules', async () => {
  expect((await promtool('check', 'config', 'prometheus.yml')).stdout).toContain('SUCCESS');
});

test.skipIf(prometheus === undefined)(
  'planted faults and drift fire their alerts, clean traffic fires none',
  async () => {
    const { stdout } = await promtool('test', 'rules', ...tests);
    expect(stdout.match(/SUCCESS/g)).toHaveLength(tests.length);
  },
);

test('every alert is fired by a test, and says what to do in a section that there is', () => {
  const planted = tests.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n');
  const guide = readFileSync(new URL('docs/monitoring.md', repository), 'utf8');
  const sections = [...guide.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title.toLowerCase().replaceAll(' ', '-'));
  const alerts = rules.filter((rule) => rule.alert !== undefined);
  expect(alerts.length).toBeGreaterThan(0);
  for (const { alert, annotations } of alerts) {
    expect(planted).toContain(alert);
    expect(annotations?.runbook, alert).toMatch(/^docs\/monitoring\.md#/);
    expect(sections, alert).toContain(annotations?.runbook.split('#')[1]);
  }
});

/** Names of the metrics of this project that are made somewhere below services/. */
function madeMetrics(): Set<string> {
  const names = new Set<string>();
  const services = fileURLToPath(new URL('services', repository));
  for (const entry of readdirSync(services, { recursive: true, withFileTypes: true })) {
    const inSource = /\/src(\/|$)/.test(entry.parentPath);
    if (!entry.isFile() || !inSource || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue;
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8');
    for (const [, name] of text.matchAll(/'(errata_[a-z0-9_]+)'/g)) names.add(name);
  }
  return names;
}

test('dashboards and rules name only metrics that the services make', () => {
  const made = madeMetrics();
  const panels = dashboards.flatMap((dashboard) => dashboard.rows.flatMap((row) => row.panels));
  const expressions = [
    ...panels.flatMap((panel) => panel.queries.map((query) => query.expr)),
    ...rules.map((rule) => rule.expr),
  ];
  const named = new Set(expressions.flatMap((expr) => expr.match(/(?<![:\w])errata_[a-z0-9_]+/g) ?? []));
  const unknown = [...named].filter((name) => !made.has(name) && !made.has(name.replace(/_(bucket|sum|count)$/, '')));
  expect(unknown).toEqual([]);
  expect(named.size).toBeGreaterThan(30);
});
