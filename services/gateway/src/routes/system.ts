import { ErrataError, type ErrorDetail } from '@errata/contracts';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { metricsText } from '../metrics.js';
import { docsPage } from '../openapi/docs-page.js';
import { openApiDocument } from '../openapi/document.js';

/** Time for each dependency to answer a readiness check, in milliseconds. */
const readyTimeoutMs = 2000;

const healthSchema = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });
const readinessSchema = z
  .object({ status: z.literal('ready'), checks: z.record(z.string(), z.literal('ok')) })
  .meta({ id: 'Readiness' });

/**
 * Health, readiness, metrics and the documentation of all routes.
 * @param all the whole table, these routes included; called when the document is asked for
 */
export function systemRoutes(deps: GatewayDeps, all: () => readonly Route[]): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/healthz',
      operationId: 'health',
      tag: 'System',
      summary: 'Whether the process lives',
      status: 200,
      reply: healthSchema,
      handler: async () => ({ json: { status: 'ok' as const } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/readyz',
      operationId: 'readiness',
      tag: 'System',
      summary: 'Whether database, Temporal and model runtime answer',
      description: 'With 503, `errors` names those that do not.',
      status: 200,
      errors: ['NOT_READY'],
      reply: readinessSchema,
      handler: async () => ({ json: { status: 'ready' as const, checks: await checkDependencies(deps) } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/metrics',
      operationId: 'metrics',
      tag: 'System',
      summary: 'Metrics in the text format of Prometheus',
      status: 200,
      replyType: 'text/plain',
      handler: async () => ({ text: await metricsText(deps.registry), type: deps.registry.contentType }),
    }),
    defineRoute({
      method: 'GET',
      path: '/openapi.json',
      operationId: 'openapi',
      tag: 'System',
      summary: 'This description of the API (OpenAPI 3.1)',
      status: 200,
      reply: z.record(z.string(), z.unknown()),
      handler: async () => ({ json: { ...openApiDocument(all(), deps.version) } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/docs',
      operationId: 'docs',
      tag: 'System',
      summary: 'This description of the API as a page',
      status: 200,
      replyType: 'text/html',
      handler: async ({ origin }) => ({
        text: docsPage(openApiDocument(all(), deps.version), origin),
        type: 'text/html; charset=utf-8',
        headers: {
          'Content-Security-Policy':
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        },
      }),
    }),
  ];
}

async function checkDependencies(deps: GatewayDeps): Promise<Record<string, 'ok'>> {
  const checks: Record<string, () => Promise<unknown>> = {
    database: () => deps.store.ping(),
    temporal: () => deps.workflows.ping(),
    runtime: () => deps.runtime.info({ timeoutMs: readyTimeoutMs }),
  };
  const details: ErrorDetail[] = [];
  await Promise.all(
    Object.entries(checks).map(async ([field, check]) => {
      try {
        await inTime(check());
      } catch (error) {
        details.push({ field, message: error instanceof Error ? error.message : String(error) });
      }
    }),
  );
  if (details.length > 0)
    throw new ErrataError(
      'NOT_READY',
      `Not ready: ${details
        .map((d) => d.field)
        .sort()
        .join(', ')}`,
      { details },
    );
  return Object.fromEntries(Object.keys(checks).map((name) => [name, 'ok' as const]));
}

async function inTime<Result>(work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${readyTimeoutMs} ms`)), readyTimeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
