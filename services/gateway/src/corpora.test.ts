import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, model, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway?.stop());

const upload = (text: string | Uint8Array<ArrayBuffer>, query = '', type = 'text/plain; charset=utf-8') =>
  call(gateway, 'POST', `/v1/corpora${query}`, { text, type });
const idOf = (text: string) => `crp_${createHash('sha256').update(text).digest('hex')}`;

test('a text is uploaded once, listed, used by a stream and deleted when none uses it', async () => {
  const text = 'Ein Satz über Äpfel. '.repeat(200);
  const made = await upload(text, '?name=manual');
  expect(made).toMatchObject({ status: 201, body: { id: idOf(text), name: 'manual', bytes: Buffer.byteLength(text) } });
  expect(made.headers.get('location')).toBe(`/v1/corpora/${idOf(text)}`);
  expect((await upload(text)).body).toEqual(made.body);
  expect((await call(gateway, 'GET', '/v1/corpora')).body.corpora).toEqual([made.body]);
  const stream = await call(gateway, 'POST', '/v1/streams', {
    json: { model: model.name, config: { corpus: { id: idOf(text) } } },
  });
  expect(stream).toMatchObject({ status: 201, body: { config: { corpus: { id: idOf(text) } } } });
  expect((await call(gateway, 'GET', `/v1/corpora/${idOf(text)}`)).body.streams).toBe(1);
  const refused = await call(gateway, 'DELETE', `/v1/corpora/${idOf(text)}`);
  expect(refused).toMatchObject({ status: 409, body: { code: 'CORPUS_IN_USE' } });
  const other = await upload('other words');
  expect((await call(gateway, 'DELETE', `/v1/corpora/${other.body.id}`)).body).toEqual({ id: other.body.id });
  expect((await call(gateway, 'DELETE', `/v1/corpora/${other.body.id}`)).status).toBe(404);
});

test('a text up to the limit is taken, a larger one refused', async () => {
  const line = `${'x'.repeat(1023)}\n`;
  const whole = line.repeat(32 * 1024);
  expect((await upload(whole)).status).toBe(201);
  expect(await upload(`${whole}.`)).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE' } });
});

test('what is no text is refused by name', async () => {
  expect(await upload(' \n ')).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST' } });
  expect(await upload('')).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST' } });
  expect(await upload(Uint8Array.of(0x61, 0xff, 0xfe))).toMatchObject({
    status: 400,
    body: { detail: expect.stringMatching(/UTF-8/) },
  });
  expect(await upload('a\0b')).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST' } });
  expect((await upload('{}', '', 'application/json')).status).toBe(415);
  expect((await upload('words', `?name=${'n'.repeat(201)}`)).status).toBe(400);
});

test('a stream on a text that is not there, or too short, is refused', async () => {
  const create = (corpus: unknown) =>
    call(gateway, 'POST', '/v1/streams', { json: { model: model.name, config: { corpus } } });
  expect(await create({ id: `crp_${'0'.repeat(64)}` })).toMatchObject({
    status: 404,
    body: { code: 'UNKNOWN_CORPUS' },
  });
  const short = await upload('a short text');
  expect(await create({ id: short.body.id })).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'config.corpus.id', message: expect.stringMatching(/12 bytes cannot hold 2000/) }] },
  });
  expect((await create({ id: 'crp_1' })).status).toBe(400);
  expect((await create({ kind: 'web' })).status).toBe(400);
  expect(await create({ kind: 'model' })).toMatchObject({
    status: 201,
    body: { config: { corpus: { kind: 'model' } } },
  });
});
