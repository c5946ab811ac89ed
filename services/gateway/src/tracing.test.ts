import { trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestGateway, type TestGateway } from './testing/gateway.js';

const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const traceId = '0af7651916cd43dd8448eb211c80319c';
let gateway: TestGateway;

beforeAll(async () => {
  provider.register();
  gateway = await startTestGateway();
});
afterAll(async () => {
  await gateway.stop();
  await provider.shutdown();
  trace.disable();
});

test('a request is a span of its caller, named by its route; health checks are none', async () => {
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  await (await fetch(`${gateway.url}/v1/streams/missing`, { headers })).text();
  await (await fetch(`${gateway.url}/healthz`)).text();
  const spans = exporter.getFinishedSpans();
  expect(spans.map((span) => span.name)).toEqual(['GET /v1/streams/:stream']);
  expect(spans[0].spanContext().traceId).toBe(traceId);
  expect(spans[0].attributes).toMatchObject({ 'http.response.status_code': 404, 'http.route': '/v1/streams/:stream' });
});
