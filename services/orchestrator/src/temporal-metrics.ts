import { createServer } from 'node:net';
import type { MetricsExporterConfig } from '@temporalio/worker';

/** Time for the SDK's own page, which is made in memory, in milliseconds. */
const pageTimeoutMs = 2000;

/** The metrics of the Temporal SDK: its telemetry option, and its page. */
export interface TemporalMetrics {
  readonly exporter: MetricsExporterConfig;
  page(): Promise<string>;
}

/** Chooses the address of the SDK's Prometheus endpoint, which cannot tell a free port that it picked. */
export async function temporalMetrics(listen: string): Promise<TemporalMetrics> {
  const separator = listen.lastIndexOf(':');
  const host = listen.slice(0, separator);
  const port = Number(listen.slice(separator + 1)) || (await freePort(host));
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host;
  return {
    exporter: {
      globalTags: { service: 'orchestrator' },
      attachServiceName: false,
      prometheus: {
        bindAddress: `${host}:${port}`,
        countersTotalSuffix: true,
        unitSuffix: true,
        useSecondsForDurations: true,
      },
    },
    async page() {
      const response = await fetch(`http://${reachable}:${port}/metrics`, {
        signal: AbortSignal.timeout(pageTimeoutMs),
      });
      if (!response.ok) throw new Error(`the Temporal SDK's metrics answer ${response.status}`);
      return response.text();
    },
  };
}

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error(`${host} has no free port`);
  return address.port;
}
