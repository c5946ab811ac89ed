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
