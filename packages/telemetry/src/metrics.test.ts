import { context, trace } from '@opentelemetry/api';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { Counter } from 'prom-client';
import { expect, test } from 'vitest';
import { createRegistry, latencies, serveMetrics } from './index.js';

test('serves the registry with the service as a label and nothing else', async () => {
  const registry = createRegistry('unit');
  new Counter({ name: 'errata_test_total', help: 'x', registers: [registry] }).inc(3);
  const server = await serveMetrics('127.0.0.1:0', registry);
  try {
    const response = await fetch(`http://${server.address}/metrics`);
    const text = await response.text();
    expect(text).toContain('errata_test_total{service="unit"} 3');
    expect(text).toContain('process_resident_memory_bytes');
    expect((await fetch(`http://${server.address}/`)).status).toBe(404);
  } finally {
    await server.close();
  }
});

test('appends the metrics of another source, stands without them, and tells whether the process works', async () => {
  const registry = createRegistry('unit');
  let healthy = true;
  let appendix = async () => 'other_total 1\n';
  const server = await serveMetrics('127.0.0.1:0', registry, { appendix: () => appendix(), healthy: () => healthy });
  const get = async (path: string) => {
    const response = await fetch(`http://${server.address}${path}`);
    return { status: response.status, text: await response.text() };
  };
  try {
    expect((await get('/metrics')).text).toMatch(/^process_resident_memory_bytes.*\n[\s\S]*\nother_total 1\n$/m);
    appendix = () => Promise.reject(new Error('gone'));
    const page = await get('/metrics');
    expect(page.status).toBe(200);
    expect(page.text).not.toContain('other_total');
    expect((await get('/healthz')).status).toBe(200);
    healthy = false;
    expect((await get('/healthz')).status).toBe(503);
  } finally {
    await server.close();
  }
});

test('times name the trace that they were measured in, where the page is OpenMetrics', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const config = { name: 'errata_test_seconds', help: 'x', labelNames: ['method'] as const, buckets: [1, 10] };
  const span = trace.wrapSpanContext({ traceId, spanId: 'b7ad6b7169203331', traceFlags: 1 });
  new NodeTracerProvider().register();
  try {
    for (const exemplars of [false, true]) {
      const registry = createRegistry('unit', { exemplars });
      const times = latencies(registry, config);
      times.observe({ method: 'outside' }, 0.5);
      context.with(trace.setSpan(context.active(), span), () => times.observe({ method: 'score' }, 3));
      const server = await serveMetrics('127.0.0.1:0', registry);
      const response = await fetch(`http://${server.address}/metrics`);
      const text = await response.text();
      await server.close();
      const line = text
        .split('\n')
        .find((one) => one.startsWith('errata_test_seconds_bucket{le="10"') && one.includes('score'));
      expect(line).toMatch(exemplars ? new RegExp(` 1 # \\{trace_id="${traceId}"\\} 3 `) : / 1$/);
      expect(text).toMatch(/errata_test_seconds_count\{[^}]*method="outside"[^}]*\} 1/);
      expect(text.endsWith('# EOF\n')).toBe(exemplars);
      expect(response.headers.get('content-type')).toMatch(exemplars ? /openmetrics/ : /^text\/plain/);
    }
  } finally {
    trace.disable();
    context.disable();
  }
});
