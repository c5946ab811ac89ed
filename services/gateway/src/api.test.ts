import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { ErrataError, evaluationSchema, streamSchema, verifyLogResponseSchema } from '@errata/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { call, makeStream, model, preset, startTestGateway, type TestGateway } from './testing/gateway.js';
import { delta } from './testing/shards.js';

let gateway: TestGateway;
let stream: { id: string; name: string };
let at: string;

beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());
beforeEach(async () => {
  stream = await makeStream(gateway);
  at = `/v1/streams/${stream.id}`;
  gateway.workflows.calls.length = 0;
  gateway.workflows.failure = null;
});

describe('streams', () => {
  test('a stream gets the preset with overrides, is found by id and by name, and its workflow is woken', async () => {
    const { status, headers, body } = await call(gateway, 'POST', '/v1/streams', {
      json: { model: model.id, name: 'São Tomé 1', config: { layers: [5], clamp: 0.75 } },
    });
    expect(status).toBe(201);
    const made = streamSchema.parse(body);
    expect(made).toMatchObject({ name: 'São Tomé 1', modelName: model.name, status: 'preparing', head: 0 });
    expect(made.config).toEqual({ ...preset, layers: [5], clamp: 0.75 });
    expect(headers.get('location')).toBe(`/v1/streams/${made.id}`);
    expect(gateway.workflows.calls).toEqual([{ name: 'wake', args: [made.id] }]);
    const byName = await call(gateway, 'GET', `/v1/streams/${encodeURIComponent('São Tomé 1')}`);
    expect(byName.body.id).toBe(made.id);
    const all = await call(gateway, 'GET', '/v1/streams');
    expect(all.body.streams.map((s: { id: string }) => s.id)).toContain(made.id);
  });

  test('settings of the engine are kept as given, and left out where they are not', async () => {
    const config = { conditioning: 'raise-lambda', forgetting: 0.98, rowShards: 2, precision: 'fp64' };
    const { body } = await call(gateway, 'POST', '/v1/streams', {
      json: { model: model.name, name: 'engine', config },
    });
    expect(streamSchema.parse(body).config).toEqual({ ...preset, ...config });
    const plain = (await call(gateway, 'GET', at)).body.config;
    expect(Object.keys(plain).sort()).toEqual(Object.keys(preset).sort());
  });

  test('without a name one is made; the same key makes one stream', async () => {
    const body = { json: { model: model.name }, headers: { 'idempotency-key': 'once' } };
    const first = await call(gateway, 'POST', '/v1/streams', body);
    expect(first.body.name).toMatch(/^tiny-12l-[0-9a-f]{6}$/);
    expect((await call(gateway, 'POST', '/v1/streams', body)).body.id).toBe(first.body.id);
  });

  test.each([
    ['an unknown model', { model: 'gpt-9' }, 404, 'UNKNOWN_MODEL', undefined],
    ['a taken name', { model: model.name, name: 'taken' }, 409, 'NAME_TAKEN', undefined],
    ['a name like an id', { model: model.name, name: `str_${'0'.repeat(32)}` }, 400, 'INVALID_REQUEST', 'name'],
    ['a name with a slash', { model: model.name, name: 'a/b' }, 400, 'INVALID_REQUEST', 'name'],
    [
      'a layer the model lacks',
      { model: model.name, config: { layers: [3, 12] } },
      400,
      'INVALID_REQUEST',
      'config.layers',
    ],
    [
      'a covariance that cannot be inverted',
      { model: model.name, config: { covarianceTokens: 1199, lambda: 0 } },
      400,
      'INVALID_REQUEST',
      'config.covarianceTokens',
    ],
    ['layers that descend', { model: model.name, config: { layers: [4, 3] } }, 400, 'INVALID_REQUEST', 'config.layers'],
    ['an unknown setting', { model: model.name, config: { speed: 1 } }, 400, 'INVALID_REQUEST', 'config.speed'],
    ['a missing model', {}, 400, 'INVALID_REQUEST', 'model'],
  ])('%s is refused', async (_name, json, status, code, field) => {
    if (code === 'NAME_TAKEN') await call(gateway, 'POST', '/v1/streams', { json });
    const answer = await call(gateway, 'POST', '/v1/streams', { json });
    expect({ status: answer.status, code: answer.body.code, field: answer.body.errors?.[0].field }).toEqual({
      status,
      code,
      field,
    });
  });

  test.each([
    ['conditioning', 'hope'],
    ['forgetting', 0.89],
    ['forgetting', 1.01],
    ['rowShards', 0],
    ['rowShards', 65],
    ['rowShards', 1.5],
    ['precision', 'fp16'],
  ])('%s %s is refused', async (field, value) => {
    const answer = await call(gateway, 'POST', '/v1/streams', {
      json: { model: model.name, config: { [field]: value } },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((e: { field: string }) => e.field)).toEqual([`config.${field}`]);
  });

  test('the layer fault names the highest layer there is', async () => {
    const json = { model: model.name, config: { layers: [12] } };
    const { body } = await call(gateway, 'POST', '/v1/streams', { json });
    expect(body.errors[0].message).toBe('layer 12 does not exist: Tiny-12L has the layers 0 to 11');
  });

  test('models come from the runtime', async () => {
    expect((await call(gateway, 'GET', '/v1/models')).body).toEqual({ models: [model] });
  });
});

describe('edits and the head', () => {
  const submit = async () => {
    const json = { edits: [1, 2, 3].map((n) => ({ prompt: `fact ${n} is`, target: `t${n}` })) };
    return (await call(gateway, 'POST', `${at}/edits`, { json })).body.edits as { id: string }[];
  };

  test('edits are listed page by page and by status, and read one by one', async () => {
    const [first] = await submit();
    const page = await call(gateway, 'GET', `${at}/edits?limit=2`);
    expect(page.body).toMatchObject({ next: 2, edits: [{ ordinal: 1 }, { ordinal: 2 }] });
    const rest = await call(gateway, 'GET', `${at}/edits?after=2&status=queued`);
    expect(rest.body).toMatchObject({ next: null, edits: [{ ordinal: 3 }] });
    expect((await call(gateway, 'GET', `${at}/edits/${first.id}`)).body).toMatchObject({ target: 't1' });
    expect(await call(gateway, 'GET', `${at}/edits/edt_1`)).toMatchObject({
      status: 404,
      body: { code: 'UNKNOWN_EDIT' },
    });
    const bad = await call(gateway, 'GET', `${at}/edits?limit=0&state=queued`);
    expect(bad.body.errors.map((e: { field: string }) => e.field)).toEqual(['limit', 'state']);
  });

  test('checkpoints are made and listed; rollback takes a checkpoint or a position, not both', async () => {
    const made = await call(gateway, 'POST', `${at}/checkpoints`, { json: { name: 'start' } });
    expect(made).toMatchObject({ status: 201, body: { name: 'start', seq: 0 } });
    expect((await call(gateway, 'GET', `${at}/checkpoints`)).body.checkpoints).toEqual([made.body]);
    const back = await call(gateway, 'POST', `${at}/rollback`, { json: { checkpoint: 'start' } });
    expect(back).toMatchObject({ status: 200, body: { head: 0, hash: made.body.hash } });
    expect(gateway.workflows.calls.at(-1)).toEqual({ name: 'rollback', args: [stream.id, 0] });
    const cases = [
      [{ checkpoint: 'nope' }, 404, 'UNKNOWN_CHECKPOINT'],
      [{ seq: 7 }, 404, 'UNKNOWN_POSITION'],
      [{}, 400, 'INVALID_REQUEST'],
      [{ checkpoint: 'start', seq: 0 }, 400, 'INVALID_REQUEST'],
    ] as const;
    for (const [json, status, code] of cases)
      expect(await call(gateway, 'POST', `${at}/rollback`, { json })).toMatchObject({ status, body: { code } });
  });

  test('pause and resume answer with the stream as it is then', async () => {
    expect((await call(gateway, 'POST', `${at}/pause`)).body.status).toBe('paused');
    expect((await call(gateway, 'POST', `${at}/resume`)).body.status).toBe('ready');
  });
});

describe('questions', () => {
  test('drift asks the shard that answers, once the stream is prepared', async () => {
    expect(await call(gateway, 'GET', `${at}/drift`)).toMatchObject({ status: 503, body: { code: 'NOT_READY' } });
    await gateway.store.setStreamStatus(stream.id, 'ready');
    const { body } = await call(gateway, 'GET', `${at}/drift`);
    expect(body.layers.map((l: { layer: number; deltaNorm: number }) => [l.layer, l.deltaNorm])).toEqual([
      [3, 3],
      [4, 4],
    ]);
  });

  test('a layer in two shards is asked of one worker that is told of the other, both on the one that is up', async () => {
    const json = { model: model.name, name: 'sharded', config: { rowShards: 2 } };
    const made = (await call(gateway, 'POST', '/v1/streams', { json })).body;
    await gateway.store.setStreamStatus(made.id, 'ready');
    const { body } = await call(gateway, 'GET', `/v1/streams/${made.id}/drift`);
    expect(body.layers).toMatchObject([
      { layer: 3, rank: 2, lambdaMinS: 1.5, lambdaMinT: 0.5, boundShare: 0.5, symmetryError: 0 },
      { layer: 4, rank: 2 },
    ]);
  });

  test('verify walks the log; deep hashes the weight change', async () => {
    await gateway.store.setStreamStatus(stream.id, 'ready');
    const plain = verifyLogResponseSchema.parse((await call(gateway, 'POST', `${at}/verify`)).body);
    expect(plain).toMatchObject({ ok: true, seq: 0, entries: 0, deep: null });
    const deep = verifyLogResponseSchema.parse(
      (await call(gateway, 'POST', `${at}/verify`, { json: { deep: true } })).body,
    );
    expect(deep.deep?.map((l) => l.layer)).toEqual([3, 4]);
    expect(deep.deep?.[0].deltaSha256).toBe(createHash('sha256').update(new Uint8Array(delta.buffer)).digest('hex'));
  });

  test('an evaluation starts running; one that cannot start is failed', async () => {
    const { status, headers, body } = await call(gateway, 'POST', `${at}/evaluations`);
    expect(status).toBe(202);
    expect(evaluationSchema.parse(body).status).toBe('running');
    expect(gateway.workflows.calls.at(-1)).toEqual({ name: 'evaluate', args: [stream.id, body.id] });
    expect((await call(gateway, 'GET', headers.get('location')!)).body).toEqual(body);

    gateway.workflows.failure = new ErrataError('NOT_READY', 'Temporal is away');
    expect((await call(gateway, 'POST', `${at}/evaluations`)).status).toBe(503);
    const id = String(gateway.workflows.calls.at(-1)?.args[1]);
    expect((await call(gateway, 'GET', `${at}/evaluations/${id}`)).body).toMatchObject({
      status: 'failed',
      detail: 'Temporal is away',
    });
  });

  test('batches and events are lists', async () => {
    expect((await call(gateway, 'GET', `${at}/batches`)).body).toEqual({ batches: [] });
    expect((await call(gateway, 'GET', `${at}/events`)).body.events[0]).toMatchObject({ kind: 'created', seq: 0 });
  });
});

describe('HTTP', () => {
  test('health needs nothing, readiness names what is away', async () => {
    expect((await call(gateway, 'GET', '/healthz')).body).toEqual({ status: 'ok' });
    expect(await call(gateway, 'GET', '/readyz')).toMatchObject({ status: 200, body: { checks: { temporal: 'ok' } } });
    gateway.workflows.failure = new Error('connection refused');
    const answer = await call(gateway, 'GET', '/readyz');
    expect(answer).toMatchObject({
      status: 503,
      body: { detail: 'Not ready: temporal', errors: [{ field: 'temporal', message: 'connection refused' }] },
    });
  });

  test('task queues are as Temporal has them', async () => {
    const idle = { pollers: 1, backlog: null, oldestSeconds: null, remedy: null };
    gateway.workflows.queues = [{ capability: 'files', taskQueue: 'errata-streams-files', ...idle }];
    const answer = await call(gateway, 'GET', '/v1/task-queues');
    expect(answer).toMatchObject({ status: 200, body: { taskQueues: gateway.workflows.queues } });
    gateway.workflows.failure = new ErrataError('NOT_READY', 'Temporal is away');
    expect(await call(gateway, 'GET', '/v1/task-queues')).toMatchObject({ status: 503 });
  });

  test('unknown routes, wrong methods and bad escapes', async () => {
    expect(await call(gateway, 'GET', '/v1/nothing')).toMatchObject({ status: 404, body: { code: 'UNKNOWN_ROUTE' } });
    expect((await call(gateway, 'GET', '/v1/streams/')).status).toBe(404);
    const wrong = await call(gateway, 'DELETE', at);
    expect(wrong).toMatchObject({ status: 405, body: { code: 'METHOD_NOT_ALLOWED' } });
    expect(wrong.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
    expect((await call(gateway, 'GET', '/v1/streams/%zz')).status).toBe(400);
    expect((await call(gateway, 'GET', '/v1/streams/a%00b')).status).toBe(404);
  });

  test('headers: request id, no x-powered-by, nothing for sniffers and frames', async () => {
    const { headers } = await call(gateway, 'GET', '/healthz');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    const mine = await fetch(`${gateway.url}/healthz`, { headers: { 'x-request-id': 'abc.1' } });
    expect(mine.headers.get('x-request-id')).toBe('abc.1');
  });

  test('a page of another origin cannot change anything', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { origin: 'http://evil.example', 'content-length': '0' };
      request(`${gateway.url}${at}/pause`, { method: 'POST', headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(400);
    expect(gateway.workflows.calls).toEqual([]);
  });

  test('what went wrong inside stays inside', async () => {
    gateway.workflows.failure = new Error('password=hunter2');
    const { status, body, headers } = await call(gateway, 'POST', `${at}/pause`);
    expect(status).toBe(500);
    expect(JSON.stringify(body)).not.toContain('hunter2');
    expect(body.detail).toContain(headers.get('x-request-id'));
    expect(gateway.logged.at(-1)).toMatchObject({ level: 'error', fields: { path: `${at}/pause` } });
  });
});
