import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, makeStream, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());

const on = (stream: { id: string }, rest: string) => `/v1/streams/${stream.id}${rest}`;

describe('guards', () => {
  it('are shown with their defaults, changed in part, and refused with what is wrong', async () => {
    const stream = await makeStream(gateway);
    const shown = await call(gateway, 'GET', on(stream, '/guards'));
    expect(shown.body.settings.budgets.divergence).toEqual({ limit: 0.15, action: 'warn' });
    expect(shown.body.readings).toEqual([]);
    const change = { budgets: { divergence: { action: 'rollback' } }, notify: 'ops', probes: { every: 2 } };
    const { status, body } = await call(gateway, 'PATCH', on(stream, '/guards'), { json: change });
    expect(status).toBe(200);
    expect(body.settings.budgets.divergence).toEqual({ limit: 0.15, action: 'rollback' });
    expect(body.settings).toMatchObject({ notify: 'ops', probes: { every: 2, costShare: 0.1 } });
    const cleared = await call(gateway, 'PATCH', on(stream, '/guards'), { json: { notify: null } });
    expect(cleared.body.settings).toMatchObject({ notify: null, probes: { every: 2 } });
    for (const json of [
      { budgets: { divergence: { limit: -1 } } },
      { budgets: { divergence: { action: 'explode' } } },
      { budgets: { unheard: { limit: 1 } } },
      { probes: { costShare: 101 } },
      { notify: 'http://10.0.0.1/' },
    ]) {
      const refused = await call(gateway, 'PATCH', on(stream, '/guards'), { json });
      expect(refused.status, JSON.stringify(json)).toBe(400);
      expect(refused.body.code).toBe('INVALID_REQUEST');
    }
    expect((await call(gateway, 'GET', '/v1/streams/none/guards')).body.code).toBe('UNKNOWN_STREAM');
  });

  it('stand in the drift of a stream, with what is foreseen', async () => {
    const stream = await makeStream(gateway);
    await gateway.store.finishPreparation(stream.id, []);
    const { body } = await call(gateway, 'GET', on(stream, '/drift'));
    expect(body).toMatchObject({ seq: 0, probes: {}, costShare: null, readings: [] });
    expect(body.forecast).toContainEqual({
      budget: 'retention',
      value: null,
      limit: 0.9,
      slope: null,
      editsLeft: null,
      reason: 'insufficient',
      points: 0,
    });
    expect((await call(gateway, 'GET', on(stream, '/probes'))).body).toEqual({ rounds: [] });
  });
});

describe('canaries', () => {
  it('are added once, listed and removed', async () => {
    const stream = await makeStream(gateway);
    const canary = { name: 'capital', prompt: 'The capital of France is', expected: 'Paris' };
    const added = await call(gateway, 'POST', on(stream, '/canaries'), { json: canary });
    expect([added.status, added.body.holds]).toEqual([201, null]);
    expect((await call(gateway, 'POST', on(stream, '/canaries'), { json: canary })).status).toBe(201);
    const other = await call(gateway, 'POST', on(stream, '/canaries'), { json: { ...canary, expected: 'Lyon' } });
    expect(other.body.code).toBe('NAME_TAKEN');
    for (const wrong of [
      { ...canary, name: 'Ä' },
      { ...canary, prompt: 'ends ' },
      { ...canary, expected: ' begins' },
    ])
      expect((await call(gateway, 'POST', on(stream, '/canaries'), { json: wrong })).status).toBe(400);
    expect((await call(gateway, 'GET', on(stream, '/canaries'))).body.canaries).toHaveLength(1);
    expect((await call(gateway, 'DELETE', on(stream, '/canaries/capital'))).status).toBe(200);
    expect((await call(gateway, 'DELETE', on(stream, '/canaries/capital'))).body.code).toBe('UNKNOWN_CANARY');
  });
});

describe('quarantine', () => {
  it('lets nothing out where nothing is in it, and wakes the stream for what is', async () => {
    const stream = await makeStream(gateway);
    const edit = { subject: 'Atlantis', prompt: 'The capital of {} is', target: 'Poseidonis' };
    const { body } = await call(gateway, 'POST', on(stream, '/edits'), { json: { edits: [edit] } });
    const refused = await call(gateway, 'POST', on(stream, '/quarantine/release'), {
      json: { edits: [body.edits[0].id] },
    });
    expect([refused.status, refused.body.code]).toEqual([409, 'EDIT_NOT_QUARANTINED']);
    const wakes = () =>
      gateway.workflows.calls.filter(({ name, args }) => name === 'wake' && args[0] === stream.id).length;
    const before = wakes();
    const none = await call(gateway, 'POST', on(stream, '/quarantine/release'), { json: {} });
    expect(none.body).toEqual({ settled: 0, edits: [] });
    expect(wakes()).toBe(before);
    expect((await call(gateway, 'GET', on(stream, '/edits?status=quarantined'))).body.edits).toEqual([]);
  });
});
