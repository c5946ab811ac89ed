import {
  status as grpcStatus,
  InterceptingCall,
  type Interceptor,
  ListenerBuilder,
  type Metadata,
} from '@grpc/grpc-js';
import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

const setter = { set: (metadata: Metadata, key: string, value: string) => metadata.set(key, value) };
const getter = {
  keys: (metadata: Metadata) => Object.keys(metadata.getMap()),
  get: (metadata: Metadata, key: string) => metadata.get(key).map(String),
};

const nameOf = (path: string) => path.replace(/^\//, '');

function settle(span: Span, code: number, details: string): void {
  span.setAttribute('rpc.grpc.status_code', code);
  if (code !== grpcStatus.OK) span.setStatus({ code: SpanStatusCode.ERROR, message: details });
  span.end();
}

/** A span for every call, whose context goes along in the metadata (W3C traceparent). Nothing where tracing is off. */
export const traceCalls: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start(metadata, _listener, next) {
      const span = trace.getTracer('errata').startSpan(nameOf(options.method_definition.path), {
        kind: SpanKind.CLIENT,
        attributes: { 'rpc.system': 'grpc' },
      });
      propagation.inject(trace.setSpan(context.active(), span), metadata, setter);
      const settling = new ListenerBuilder()
        .withOnReceiveStatus((status, pass) => {
          settle(span, status.code, status.details);
          pass(status);
        })
        .build();
      next(metadata, settling);
    },
  });

/** Runs the work of a handler within a span, part of the caller's trace. */
export async function traceHandler<Result>(
  path: string,
  metadata: Metadata,
  work: () => Promise<Result>,
): Promise<Result> {
  const caller = propagation.extract(context.active(), metadata, getter);
  const options = { kind: SpanKind.SERVER, attributes: { 'rpc.system': 'grpc' } };
  const span = trace.getTracer('errata').startSpan(nameOf(path), options, caller);
  return context.with(trace.setSpan(caller, span), async () => {
    try {
      const result = await work();
      settle(span, grpcStatus.OK, '');
      return result;
    } catch (error) {
      settle(span, grpcStatus.UNKNOWN, error instanceof Error ? error.message : String(error));
      throw error;
    }
  });
}
