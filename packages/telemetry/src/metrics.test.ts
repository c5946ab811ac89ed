import { Counter } from 'prom-client';
import { expect, test } from 'vitest';
import { createRegistry, serveMetrics } from './index.js';

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
