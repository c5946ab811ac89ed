import { randomUUID } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { activeTraceId } from '@errata/telemetry';
import express, { type Express, type RequestHandler } from 'express';
import type { GatewayDeps, Log } from './deps.js';
import { mountRoutes } from './http/mount.js';
import { problemHandler } from './http/problem.js';
import { routeTable } from './routes/table.js';
import { traceRequests } from './tracing.js';

const requestIdPattern = /^[\w.-]{1,64}$/;

/** The HTTP API on the given parts. It listens nowhere by itself. */
export function createApp(deps: GatewayDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.set('query parser', 'simple');
  app.use(originForm, identify, guard, deps.httpMetrics, traceRequests, logRequest(deps.log));
  mountRoutes(app, routeTable(deps), deps);
  app.use((request) => {
    throw new ErrataError('UNKNOWN_ROUTE', `No route ${request.path}: GET /openapi.json lists them`);
  });
  app.use(problemHandler(deps.log));
  return app;
}

/** Brings a request target in absolute form (RFC 9112, section 3.2.2) into origin form, which labels of metrics rely on. */
const originForm: RequestHandler = (request, _response, next) => {
  if (!request.url.startsWith('/') && URL.canParse(request.url)) {
    const { pathname, search } = new URL(request.url);
    request.url = `${pathname}${search}`;
    request.originalUrl = request.url;
  }
  next();
};

const identify: RequestHandler = (request, response, next) => {
  const given = request.get('x-request-id');
  response.setHeader('X-Request-Id', given !== undefined && requestIdPattern.test(given) ? given : randomUUID());
  next();
};

/** Headers for browsers, and the refusal of changes that a page of another origin asks for. */
const guard: RequestHandler = (request, response, next) => {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('X-Frame-Options', 'DENY');
  response.setHeader('Referrer-Policy', 'no-referrer');
  response.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  response.setHeader('Cache-Control', 'no-store');
  const origin = request.get('origin');
  if (origin !== undefined && !['GET', 'HEAD', 'OPTIONS'].includes(request.method)) {
    const host = URL.canParse(origin) ? new URL(origin).host : origin;
    if (host !== request.get('host'))
      throw new ErrataError('INVALID_REQUEST', `Changes asked for by a page of ${origin} are refused`);
  }
  next();
};

function logRequest(log: Log): RequestHandler {
  return (request, response, next) => {
    const start = performance.now();
    const traceId = activeTraceId();
    response.once('finish', () => {
      const fields = {
        requestId: response.getHeader('x-request-id'),
        method: request.method,
        path: request.path,
        status: response.statusCode,
        ms: Math.round(performance.now() - start),
        ...(traceId !== undefined && { traceId }),
      };
      if (request.method === 'GET') log.debug(fields, 'request');
      else log.info(fields, 'request');
    });
    next();
  };
}
