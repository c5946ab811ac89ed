import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { call, makeStream, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
let at: string;

beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());
beforeEach(async () => {
  gateway.workflows.failure = null;
  at = `/v1/streams/${(await makeStream(gateway)).id}`;
});

const submit = async (...edits: object[]): Promise<{ id: string }[]> =>
  (await call(gateway, 'POST', `${at}/edits`, { json: { edits } })).body.edits;
const paris = { prompt: 'The capital of France is', target: 'Paris', source: 'atlas' };

describe('revocations', () => {
  test('what waits is withdrawn by its source, once for a key, and listed', async () => {
    const [edit] = await submit(paris);
    const preview = await call(gateway, 'POST', `${at}/revocations/preview`, { json: { sources: ['atlas'] } });
    expect(preview.body).toMatchObject({ revoked: 0, withdrawn: 1, later: 0, edits: [{ id: edit.id }] });
    const json = { sources: ['atlas'], reason: 'outdated' };
    const headers = { 'idempotency-key': 'once' };
    const answer = await call(gateway, 'POST', `${at}/revocations`, { json, headers });
    expect(answer).toMatchObject({ status: 200, body: { status: 'done', withdrawn: 1, changed: 1, head: 0 } });
    expect((await call(gateway, 'GET', `${at}/edits/${edit.id}`)).body).toMatchObject({ status: 'rejected' });
    const again = await call(gateway, 'POST', `${at}/revocations`, { json, headers });
    expect(again.body.id).toBe(answer.body.id);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const other = await call(gateway, 'POST', `${at}/revocations`, { json: { tags: ['x'] }, headers });
    expect(other).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } });
    const list = await call(gateway, 'GET', `${at}/revocations`);
    expect(list.body.revocations.map((one: { id: string }) => one.id)).toEqual([answer.body.id]);
    const one = await call(gateway, 'GET', `${at}/revocations/${answer.body.id}`);
    expect(one.body).toEqual(answer.body);
    const late = await call(gateway, 'POST', `${at}/revocations/${answer.body.id}/cancel`);
    expect(late).toMatchObject({ status: 409, body: { code: 'REVOCATION_ENDED' } });
  });

  test('edits that are named have to be known, and in the weights', async () => {
    const [edit] = await submit(paris);
    const unknown = `edt_${'f'.repeat(32)}`;
    const refused = await call(gateway, 'POST', `${at}/revocations`, { json: { edits: [edit.id, unknown] } });
    expect(refused).toMatchObject({ status: 404, body: { code: 'UNKNOWN_EDIT', errors: [{ field: 'edits[1]' }] } });
    const queued = await call(gateway, 'POST', `${at}/revocations`, { json: { edits: [edit.id] } });
    expect(queued).toMatchObject({ status: 409, body: { code: 'EDIT_NOT_REVOCABLE' } });
  });

  test('a selection needs a condition, and times an offset and an order', async () => {
    for (const json of [
      {},
      { reason: 'x' },
      { created: {} },
      { created: { from: '2026-01-01T00:00:00' } },
      { committed: { from: '2026-01-02T00:00:00Z', before: '2026-01-01T00:00:00Z' } },
      { tags: [] },
    ])
      expect(await call(gateway, 'POST', `${at}/revocations`, { json })).toMatchObject({
        status: 400,
        body: { code: 'INVALID_REQUEST' },
      });
    expect((await call(gateway, 'GET', `${at}/revocations`)).body.revocations).toEqual([]);
  });

  test('one is stored though nobody can be woken, and answered at once when nobody is to wait', async () => {
    await submit(paris);
    gateway.workflows.failure = new Error('Temporal is away');
    const answer = await call(gateway, 'POST', `${at}/revocations`, { json: { sources: ['atlas'], wait: false } });
    expect(answer).toMatchObject({ status: 200, body: { status: 'running' } });
    gateway.workflows.failure = null;
    const ended = await call(gateway, 'POST', `${at}/revocations/${answer.body.id}/cancel`);
    expect(ended.body).toMatchObject({ status: 'cancelled', withdrawn: 0 });
  });
});

test('a rollback with an Idempotency-Key moves the head once', async () => {
  const headers = { 'idempotency-key': 'back' };
  const first = await call(gateway, 'POST', `${at}/rollback`, { json: { seq: 0 }, headers });
  expect(first.headers.get('idempotency-replayed')).toBeNull();
  gateway.workflows.calls.length = 0;
  const again = await call(gateway, 'POST', `${at}/rollback`, { json: { seq: 0 }, headers });
  expect(again.body).toEqual(first.body);
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  expect(gateway.workflows.calls).toEqual([]);
});

test('an expiry lies in the future, may be changed and cleared, and is part of the history', async () => {
  const past = await call(gateway, 'POST', `${at}/edits`, {
    json: { edits: [{ ...paris, expiresAt: '2020-01-01T00:00:00Z' }] },
  });
  expect(past).toMatchObject({ status: 400, body: { errors: [{ field: 'edits[0].expiresAt' }] } });
  const [edit] = await submit({ ...paris, expiresAt: '2999-01-01T00:00:00+02:00' });
  const patch = (json: object) => call(gateway, 'PATCH', `${at}/edits/${edit.id}`, { json });
  expect((await patch({ expiresAt: '2999-02-01T00:00:00Z' })).body.expiresAt).toBe('2999-02-01T00:00:00.000Z');
  expect(gateway.workflows.calls.at(-1)?.name).toBe('wake');
  expect((await patch({ expiresAt: '2020-01-01T00:00:00Z' })).status).toBe(400);
  expect((await patch({})).status).toBe(400);
  expect((await patch({ expiresAt: null })).body.expiresAt).toBeNull();
  const { body } = await call(gateway, 'GET', `${at}/edits/${edit.id}/history`);
  expect(body.steps.map(({ kind, expiresAt }: { kind: string; expiresAt?: string }) => [kind, expiresAt])).toEqual([
    ['queued', undefined],
    ['expiry-set', '2998-12-31T22:00:00.000Z'],
    ['expiry-set', '2999-02-01T00:00:00.000Z'],
    ['expiry-set', null],
  ]);
});
