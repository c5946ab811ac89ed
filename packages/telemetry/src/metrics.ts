import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, Histogram, type HistogramConfiguration, Registry } from 'prom-client';
import { activeTraceId } from './tracing.js';

/**
 * A registry with the process metrics; `service` is a label of every series.
 * @param options `exemplars`: the page is in the format of OpenMetrics, which has room for the ids of traces; other pages cannot be
 * appended to it
 */
export function createRegistry(service: string, { exemplars = false }: { exemplars?: boolean } = {}): Registry {
  const registry = new Registry();
  if (exemplars) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** A histogram of times; what was observed within a trace names it where the registry has room for that. */
export interface Latencies<Label extends string> {
  observe(labels: Partial<Record<Label, string | number>>, seconds: number): void;
}

type LatencyConfig<Label extends string> = Pick<
  HistogramConfiguration<Label>,
  'name' | 'help' | 'labelNames' | 'buckets'
>;

/** A histogram of times in a registry of {@link createRegistry}. */
export function latencies<Label extends string>(
  registry: Registry,
  { labelNames = [], ...config }: LatencyConfig<Label>,
): Latencies<Label> {
  const contentType: string = registry.contentType;
  const enableExemplars = contentType === Registry.OPENMETRICS_CONTENT_TYPE;
  // The types of prom-client know one set of names for the labels of a series and those of its exemplars.
  const names: readonly string[] = labelNames;
  const histogram = new Histogram<string>({ ...config, labelNames: names, registers: [registry], enableExemplars });
  if (!enableExemplars) return { observe: (labels, seconds) => histogram.observe(labels, seconds) };
  return {
    observe(labels, value) {
      const trace = activeTraceId();
      histogram.observe({ labels, value, ...(trace !== undefined && { exemplarLabels: { trace_id: trace } }) });
    },
  };
}

export interface MetricsServer {
  readonly address: string;
  close(): Promise<void>;
}

export interface MetricsOptions {
  /** Further metrics in the text format, whose names the registry does not have. The page stands without them where that fails. */
  readonly appendix?: () => Promise<string>;
  /** Whether the process does its work: `GET /healthz` answers 503 when not. Default: it does. */
  readonly healthy?: () => boolean;
}

/**
 * Serves `GET /metrics` in the Prometheus text format, and `GET /healthz`.
 * @param listen host:port; port 0 picks a free one
 */
export async function serveMetrics(
  listen: string,
  registry: Registry,
  { appendix, healthy = () => true }: MetricsOptions = {},
): Promise<MetricsServer> {
  const separator = listen.lastIndexOf(':');
  const host = listen.slice(0, separator);
  const page = async () => {
    const [own, further] = await Promise.all([registry.metrics(), appendix?.().catch(() => '')]);
    return further ? `${own}\n${further}` : own;
  };
  const answer = (response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8') =>
    response.writeHead(status, { 'content-type': type }).end(text);
  const server = createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/healthz') {
      if (healthy()) answer(response, 200, 'ok\n');
      else answer(response, 503, 'not working\n');
      return;
    }
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    page().then(
      (text) => answer(response, 200, text, registry.contentType),
      (error: unknown) => answer(response, 500, String(error)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(listen.slice(separator + 1)), host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
