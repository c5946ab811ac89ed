import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { RequestHandler } from 'express';

/** Asked for every few seconds by machines: as spans they would hide everything else. */
const untraced = new Set(['/metrics', '/healthz', '/readyz']);

/** A span for every request, part of the caller's trace (W3C traceparent). Nothing where tracing is off. */
export const traceRequests: RequestHandler = (request, response, next) => {
  if (untraced.has(request.path)) {
    next();
    return;
  }
  const caller = propagation.extract(context.active(), request.headers);
  const { method } = request;
  const options = { kind: SpanKind.SERVER, attributes: { 'http.request.method': method } };
  const span = trace.getTracer('errata').startSpan(method, options, caller);
  response.once('close', () => {
    const route = (request.route as { path?: string } | undefined)?.path;
    if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
    span.setAttribute('http.response.status_code', response.statusCode);
    if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  });
  context.with(trace.setSpan(caller, span), next);
};
