import { ErrataError } from '@errata/contracts';
import { trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  connectShardWorker,
  type RunningServer,
  ShardServiceService,
  type ShardWorker,
  type StatsRequest,
  type StatsResponse,
  serve,
  unary,
} from './index.js';

const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const method = 'errata.v1.ShardService/Stats';
const nothing: StatsResponse = {
  deltaNorm: 0,
  deltaBound: 0,
  anchorDeviation: 0,
  rank: 0,
  effectiveRank: 0,
  conditionEstimate: 0,
  information: 0,
  spectralNorm: 0,
  lambdaMinS: 0,
  lambdaMinT: 0,
  symmetryError: 0,
  capacityLeft: 0.75,
  editedNorm: 0.25,
  boundShare: 0,
  logDeviation: 0,
};
const within: (string | undefined)[] = [];
let server: RunningServer;
let client: ShardWorker;

beforeAll(async () => {
  provider.register();
  server = await serve('127.0.0.1:0', [
    {
      name: 'errata.v1.ShardService',
      definition: ShardServiceService,
      implementation: {
        stats: unary<StatsRequest, StatsResponse>(async ({ layer }) => {
          within.push(trace.getActiveSpan()?.spanContext().traceId);
          if (layer === 9) throw new ErrataError('INVALID_REQUEST', 'no such layer');
          return nothing;
        }),
      },
    },
  ]);
  client = connectShardWorker(server.address);
});
afterAll(async () => {
  client.close();
  await server.stop(0);
  await provider.shutdown();
});

test('a call is a span of its caller, and what the handler does a span of the call', async () => {
  const tracer = trace.getTracer('test');
  await tracer.startActiveSpan('caller', async (span) => {
    await client.stats({ state: undefined, layer: 1 }, { timeoutMs: 5000 });
    span.end();
  });
  const spans = exporter.getFinishedSpans();
  const caller = spans.find((span) => span.name === 'caller')!.spanContext();
  const [served, called] = [1, 2].map((kind) => spans.find((span) => span.name === method && span.kind === kind)!);
  expect(within).toEqual([caller.traceId]);
  expect(called.parentSpanContext?.spanId).toBe(caller.spanId);
  expect(served.parentSpanContext?.spanId).toBe(called.spanContext().spanId);
  expect(called.attributes['rpc.grpc.status_code']).toBe(0);
});

test('a call that fails is a failed span on both sides', async () => {
  exporter.reset();
  await expect(client.stats({ state: undefined, layer: 9 }, { timeoutMs: 5000 })).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  });
  const spans = exporter.getFinishedSpans().filter((span) => span.name === method);
  expect(spans.map((span) => span.status.code)).toEqual([2, 2]);
});
