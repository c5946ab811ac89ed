import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const readyTimeoutMs = 20_000;

/** A Prometheus on a free loopback port that scrapes every second. */
export interface TestPrometheus {
  readonly address: string;
  /** Values of an instant query; those that are not a number are left out. Grafana's variables are filled in. */
  values(expr: string): Promise<number[]>;
  /** Alerts that fired at any time or are pending now, `name state`. */
  alerts(): Promise<string[]>;
  /** Names of all metric families that were scraped, those without a sample included. */
  families(): Promise<Set<string>>;
  stop(): Promise<void>;
}

/**
 * Starts Prometheus on pages of metrics.
 * @param targets addresses of the pages, by process name; `service` is the name without its number @param folder an empty one for its data
 * @param rules files of rules, judged every second
 */
export async function startPrometheus(
  program: string,
  targets: Readonly<Record<string, string>>,
  folder: string,
  rules: readonly string[] = [],
): Promise<TestPrometheus> {
  const address = `http://127.0.0.1:${await freePort()}`;
  const config = join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: rules,
      scrape_configs: [
        {
          job_name: 'errata',
          honor_labels: true,
          static_configs: Object.entries(targets).map(([name, page]) => ({
            targets: [new URL(page).host],
            labels: { service: name.replace(/-\d+$/, '') },
          })),
        },
      ],
    }),
  );
  const flags = {
    'config.file': config,
    'storage.tsdb.path': join(folder, 'data'),
    'web.listen-address': new URL(address).host,
    'log.level': 'error',
  };
  const child = spawn(
    program,
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      errors += error.message;
      resolve();
    });
    child.once('close', () => resolve());
  });
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`${address}${path}`);
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string };
    if (status !== 'success') throw new Error(`Prometheus refuses ${decodeURIComponent(path)}: ${error}`);
    return data;
  };
  const deadline = performance.now() + readyTimeoutMs;
  while (!(await fetch(`${address}/-/ready`).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`Prometheus did not start: ${errors}`);
    }
    await sleep(100);
  }
  return {
    address,
    async values(expr) {
      const { result } = (await ask(`/api/v1/query?query=${encodeURIComponent(filledIn(expr))}`)) as {
        result: { value: [number, string] }[];
      };
      return result.map(({ value }) => Number(value[1])).filter((value) => !Number.isNaN(value));
    },
    async alerts() {
      const expr = 'count by (alertname, alertstate) (max_over_time(ALERTS{alertstate="firing"}[1d]) or ALERTS)';
      const { result } = (await ask(`/api/v1/query?query=${encodeURIComponent(expr)}`)) as {
        result: { metric: { alertname: string; alertstate: string } }[];
      };
      return result.map(({ metric }) => `${metric.alertname} ${metric.alertstate}`).sort();
    },
    async families() {
      return new Set(Object.keys((await ask('/api/v1/metadata')) as object));
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** What Grafana would put for its variables: all streams, and a range that spans a test. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '10m').replaceAll('$stream', '.*');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
