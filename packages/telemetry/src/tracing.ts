import { createHash } from 'node:crypto';
import { type Attributes, type Context, context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  type IdGenerator,
  NodeTracerProvider,
  RandomIdGenerator,
} from '@opentelemetry/sdk-trace-node';

/** Time for the last spans to be sent, in milliseconds: a collector that is away must not keep a service from stopping. */
const flushTimeoutMs = 2000;

/** The tracing of a process. */
export interface Tracing {
  /** Sends what is left. */
  stop(): Promise<void>;
}

/** Ids as ever, but for a trace that is named from outside. */
class NamedTraces implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  named: string | undefined;

  generateTraceId(): string {
    return this.named ?? this.#random.generateTraceId();
  }
  generateSpanId(): string {
    return this.#random.generateSpanId();
  }
}

const ids = new NamedTraces();

/**
 * Sends spans to an OpenTelemetry collector (OTLP over HTTP) where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and does nothing
 * elsewhere. The other variables of OpenTelemetry (headers, sampler, resource attributes) count as usual.
 */
export function startTracing(
  service: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Tracing {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT && !env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return { stop: async () => {} };
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': `errata-${service}`, 'service.namespace': 'errata' }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
    idGenerator: ids,
  });
  provider.register();
  const late = () => new Promise<void>((resolve) => setTimeout(resolve, flushTimeoutMs).unref());
  return { stop: () => Promise.race([provider.shutdown().catch(() => undefined), late()]) };
}

export interface SpanOptions {
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** What it is part of; the active span when left out. */
  readonly parent?: Context;
  /**
   * Names the trace that it begins, so that work of several processes and attempts comes together without passing a
   * context along: equal names have equal traces.
   */
  readonly traceName?: string;
}

/** Runs work within a span, which ends with it and has its error. Costs next to nothing where tracing is off. */
export async function spanned<Result>(
  name: string,
  { kind = SpanKind.INTERNAL, attributes = {}, parent = context.active(), traceName }: SpanOptions,
  work: (span: Span) => Promise<Result>,
): Promise<Result> {
  const tracer = trace.getTracer('errata');
  ids.named = traceName === undefined ? undefined : createHash('sha256').update(traceName).digest('hex').slice(0, 32);
  const span = tracer.startSpan(name, { kind, attributes, root: traceName !== undefined }, parent);
  ids.named = undefined;
  return context.with(trace.setSpan(parent, span), async () => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error instanceof Error ? error : String(error));
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The trace that the present work belongs to, for log lines; undefined where none is recorded. */
export function activeTraceId(): string | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span && trace.isSpanContextValid(span) ? span.traceId : undefined;
}
