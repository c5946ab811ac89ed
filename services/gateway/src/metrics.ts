import { createRequire } from 'node:module';
import type { RequestHandler } from 'express';
import { Counter, type Registry, register } from 'prom-client';

/** Upper bounds in seconds: reads take milliseconds, a revocation waits for a batch of many seconds. */
const durationBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const sizeBuckets = [100, 1000, 10_000, 100_000, 1_000_000, 16_000_000];

/**
 * The prometheus-api-metrics middleware: request duration, request and response size by method, route and code, on
 * prom-client's global registry. Call it once a process.
 */
export function createHttpMetrics(): RequestHandler {
  // It finds the service's package.json through the module that requires it, which an import does not have.
  const load = createRequire(import.meta.url);
  const { expressMiddleware } = load('prometheus-api-metrics') as typeof import('prometheus-api-metrics');
  register.setDefaultLabels({ service: 'gateway' });
  const measure = expressMiddleware({
    durationBuckets,
    requestSizeBuckets: sizeBuckets,
    responseSizeBuckets: sizeBuckets,
  });
  return (request, response, next) => {
    // /metrics is a route of the table; the middleware would answer it itself.
    if (request.path.startsWith('/metrics')) next();
    else measure(request, response, next);
  };
}

/** What the API counts beside its requests. */
export interface GatewayMetrics {
  readonly editsAccepted: Counter;
  readonly logsVerified: Counter<'outcome'>;
}

/** @param registry one that has none of these yet */
export function createGatewayMetrics(registry: Registry): GatewayMetrics {
  const registers = [registry];
  const logsVerified = new Counter({
    name: 'errata_log_verifications_total',
    help: 'Logs that were walked: whole (ok) or not (broken)',
    labelNames: ['outcome'],
    registers,
  });
  // There from the start: a counter that appears with its first failure has no increase to alert on.
  for (const outcome of ['ok', 'broken']) logsVerified.inc({ outcome }, 0);
  return {
    editsAccepted: new Counter({
      name: 'errata_edits_accepted_total',
      help: 'Edits stored as queued or, where they repeat another, rejected',
      registers,
    }),
    logsVerified,
  };
}

/** The service's own metrics and those of HTTP, each name once. */
export async function metricsText(registry: Registry): Promise<string> {
  const texts = new Map<string, string>();
  for (const source of new Set([registry, register]))
    for (const { name } of source.getMetricsAsArray())
      if (!texts.has(name)) texts.set(name, await source.getSingleMetricAsString(name));
  return `${[...texts.values()].join('\n\n')}\n`;
}
