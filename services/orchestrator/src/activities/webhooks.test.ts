import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WebhookDelivery } from '@errata/store';
import { createLogger, createRegistry } from '@errata/telemetry';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMetrics } from '../metrics.js';
import type { Dependencies } from './context.js';
import { failWebhook, sendWebhook } from './webhooks.js';

const secret = 'a secret of some length';
const { signal } = new AbortController();
const received: { headers: IncomingHttpHeaders; path: string | undefined; body: string }[] = [];
const answer = { status: 204, text: '' };
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      received.push({ headers: request.headers, path: request.url, body });
      response.writeHead(answer.status, answer.status === 307 ? { location: '/elsewhere' } : {}).end(answer.text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/errata?team=a`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const pending: WebhookDelivery = {
  id: 'whd_1',
  streamId: 'str_1',
  seq: 4,
  receiver: 'ops',
  payload: { id: 'whd_1', type: 'guard', why: 'divergence is 2, above 0.25' },
  status: 'pending',
  attempts: 0,
  detail: null,
  createdAt: '2026-01-01T00:00:00.000Z',
};
let delivery = pending;
beforeEach(() => {
  delivery = pending;
  received.length = 0;
  Object.assign(answer, { status: 204, text: '' });
});

/** The store keeps one delivery. */
function parts(receiver: Partial<Dependencies['receivers'][number]> = {}) {
  return {
    store: {
      getDelivery: async () => delivery,
      updateDelivery: async (_id: string, change: Partial<WebhookDelivery>) => {
        delivery = { ...delivery, ...change };
      },
    } as unknown as Dependencies['store'],
    receivers: [{ name: 'ops', url, secret, ...receiver }],
    logger: createLogger('test', 'silent'),
    metrics: createMetrics(createRegistry('test')),
  };
}
const send = (receiver = {}, attempt = 1) => sendWebhook(parts(receiver), { deliveryId: 'whd_1' }, attempt, signal);

test('a notification arrives whole, signed with the time, and once', async () => {
  await send();
  const [{ headers, path, body }, ...more] = received;
  expect(more).toEqual([]);
  expect(path).toBe('/hooks/errata?team=a');
  expect(JSON.parse(body)).toEqual(pending.payload);
  expect(headers['errata-delivery']).toBe('whd_1');
  const [, at, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['errata-signature'])) ?? [];
  expect(mac).toBe(createHmac('sha256', secret).update(`${at}.${body}`).digest('hex'));
  expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(300);
  expect(delivery).toMatchObject({ status: 'delivered', attempts: 1, detail: '204' });
  await send();
  expect(received).toHaveLength(1);
});

test('a receiver that fails is tried again; one that refuses is not', async () => {
  answer.status = 503;
  await expect(send({}, 2)).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  expect(delivery).toMatchObject({ status: 'pending', attempts: 2, detail: 'ops answers 503' });
  answer.status = 429;
  await expect(send()).rejects.toMatchObject({ retryable: true });
  for (const status of [400, 401, 307]) {
    answer.status = status;
    await expect(send()).rejects.toMatchObject({ code: 'WEBHOOK_REFUSED', retryable: false });
  }
  expect(received.every(({ path }) => path !== '/elsewhere')).toBe(true);
  await failWebhook(parts(), { deliveryId: 'whd_1', detail: 'WEBHOOK_REFUSED: gone' });
  expect(delivery).toMatchObject({ status: 'failed', detail: 'WEBHOOK_REFUSED: gone' });
});

test('only receivers of the configuration are connected to, at addresses that are allowed', async () => {
  await expect(send({ name: 'other' })).rejects.toMatchObject({ code: 'UNKNOWN_TARGET', retryable: false });
  for (const target of ['http://169.254.169.254/latest', 'http://0.0.0.0/x', 'http://[ff02::1]/x'])
    await expect(send({ url: target })).rejects.toMatchObject({ code: 'WEBHOOK_REFUSED', retryable: false });
  await expect(send({ addresses: ['10.0.0.9'] })).rejects.toMatchObject({ code: 'WEBHOOK_REFUSED' });
  await expect(send({ url: 'http://127.0.0.1:1/' })).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  expect(received).toEqual([]);
});
