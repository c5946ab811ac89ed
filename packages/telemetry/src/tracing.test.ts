import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { activeTraceId, spanned, startTracing, type Tracing } from './index.js';

interface ExportedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

const spans: ExportedSpan[] = [];
const services: unknown[] = [];
const collector = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
      services.push(resource.attributes.find((one: { key: string }) => one.key === 'service.name')?.value);
      for (const scope of scopeSpans) spans.push(...scope.spans);
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
});
let tracing: Tracing;

beforeAll(async () => {
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${port}`;
});
afterAll(() => {
  delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  collector.close();
});

test('without an endpoint nothing is traced, and work runs as ever', async () => {
  await startTracing('unit', {}).stop();
  expect(await spanned('outer', {}, async () => activeTraceId())).toBeUndefined();
});

test('spans nest, carry the error of their work, and equal names are one trace', async () => {
  tracing = startTracing('unit');
  let seen: string | undefined;
  await spanned('outer', { attributes: { seq: 3 } }, async () => {
    seen = activeTraceId();
    await expect(spanned('inner', {}, () => Promise.reject(new Error('broke')))).rejects.toThrow('broke');
  });
  await spanned('first', { traceName: 'str_1/7' }, async () => {});
  await spanned('second', { traceName: 'str_1/7' }, async () => {});
  await spanned('another', { traceName: 'str_1/8' }, async () => {});
  await tracing.stop();

  const span = (name: string) => spans.find((one) => one.name === name)!;
  expect(services[0]).toEqual({ stringValue: 'errata-unit' });
  expect(span('outer').traceId).toBe(seen);
  expect(span('inner')).toMatchObject({
    traceId: seen,
    parentSpanId: span('outer').spanId,
    status: { code: 2, message: 'broke' },
  });
  expect(span('second').traceId).toBe(span('first').traceId);
  expect(span('second').spanId).not.toBe(span('first').spanId);
  expect(span('another').traceId).not.toBe(span('first').traceId);
});
