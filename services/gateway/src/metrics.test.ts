import { Counter, Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createHttpMetrics } from './metrics.js';
import { call, model, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
const registry = new Registry();

beforeAll(async () => {
  new Counter({ name: 'errata_own_total', help: 'x', registers: [registry] }).inc(2);
  gateway = await startTestGateway({ httpMetrics: createHttpMetrics(), registry });
});
afterAll(() => gateway.stop());

test('routes are labelled by their pattern, whatever the names in the path', async () => {
  // Names that occur in the pattern itself, and a number: the worst for a labelling by replacement.
  for (const name of ['v1', 'streams', 'edits', '7']) {
    await call(gateway, 'POST', '/v1/streams', { json: { model: model.name, name } });
    await call(gateway, 'GET', `/v1/streams/${name}/edits?limit=5`);
    await call(gateway, 'GET', `/v1/streams/${name}`);
  }
  await call(gateway, 'GET', '/v1/streams/missing');
  await call(gateway, 'GET', '/no/such/route/12345');
  await call(gateway, 'DELETE', '/v1/streams/v1');
  const { body, headers } = await call(gateway, 'GET', '/metrics');
  expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = (body as string).split('\n').filter((line) => line.startsWith('http_request_duration_seconds_count'));
  const counted = lines.map((line) => {
    const [, method, route, code, count] = /method="(\w+)",route="([^"]+)",code="(\d+)"\} (\d+)/.exec(line)!;
    return `${method} ${route} ${code} ${count}`;
  });
  expect(counted.sort()).toEqual(
    [
      'POST /v1/streams 201 4',
      'GET /v1/streams/:stream/edits 200 4',
      'GET /v1/streams/:stream 200 4',
      'GET /v1/streams/:stream 404 1',
      'GET N/A 404 1',
      'DELETE /v1/streams/:stream 405 1',
    ].sort(),
  );
  expect(lines.every((line) => line.includes('service="gateway"'))).toBe(true);
});

test('the service’s own metrics and the version are there, each name once', async () => {
  const { body } = await call(gateway, 'GET', '/metrics');
  expect(body).toContain('errata_own_total 2');
  expect(body).toMatch(/app_version\{version="\d+\.\d+\.\d+"/);
  const types = (body as string).split('\n').filter((line) => line.startsWith('# TYPE'));
  expect(new Set(types).size).toBe(types.length);
});
