import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** A registry with the process metrics; `service` is a label of every series. */
export function createRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
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
