import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, makeStream, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());

const edit = (subject: string, target: string) => ({ subject, prompt: 'The capital of {} is', target });

/** A prepared stream without a batch: writing one needs the workflows. */
async function prepared(): Promise<{ id: string; name: string }> {
  const stream = await makeStream(gateway);
  await gateway.store.finishPreparation(stream.id, []);
  return stream;
}

test('a branch is made once for a key, named or not, and listed', async () => {
  const { id, name } = await prepared();
  const path = `/v1/streams/${id}/branches`;
  const made = await call(gateway, 'POST', path, {
    json: { name: `${name} trial` },
    headers: { 'idempotency-key': 'k' },
  });
  expect([made.status, made.headers.get('location')]).toEqual([201, `/v1/streams/${made.body.id}`]);
  expect(made.body).toMatchObject({ status: 'ready', head: 0, origin: { streamId: id, seq: 0 } });
  const again = await call(gateway, 'POST', path, {
    json: { name: `${name} trial` },
    headers: { 'idempotency-key': 'k' },
  });
  expect(again.body.id).toBe(made.body.id);
  const unnamed = await call(gateway, 'POST', path, { json: { seq: 0 } });
  expect(unnamed.body.name).toMatch(new RegExp(`^${name}-[0-9a-f]{6}$`));
  const { body } = await call(gateway, 'GET', path);
  expect(body.branches.map((branch: { id: string }) => branch.id)).toEqual([made.body.id, unnamed.body.id]);
});

test('a position is named in one way, and unknown ones are refused by name', async () => {
  const { id } = await prepared();
  const post = async (operation: string, json: object) => {
    const { status, body } = await call(gateway, 'POST', `/v1/streams/${id}/${operation}`, { json });
    return [status, body.code];
  };
  const unknown = `edt_${'0'.repeat(32)}`;
  expect(await post('rollback', {})).toEqual([400, 'INVALID_REQUEST']);
  expect(await post('rollback', { seq: 0, checkpoint: 'a' })).toEqual([400, 'INVALID_REQUEST']);
  expect(await post('rollback', { at: 'yesterday' })).toEqual([400, 'INVALID_REQUEST']);
  expect(await post('rollback', { seq: 3 })).toEqual([404, 'UNKNOWN_POSITION']);
  expect(await post('rollback', { at: '2999-01-01T00:00:00Z' })).toEqual([404, 'UNKNOWN_POSITION']);
  expect(await post('rollback', { before: unknown })).toEqual([404, 'UNKNOWN_EDIT']);
  expect(await post('branches', { checkpoint: 'none' })).toEqual([404, 'UNKNOWN_CHECKPOINT']);
  const queued = await call(gateway, 'POST', `/v1/streams/${id}/edits`, { json: { edits: [edit('A', 'B')] } });
  expect(await post('branches', { before: queued.body.edits[0].id })).toEqual([409, 'EDIT_NOT_ON_LINEAGE']);
  expect(await post('rollback', { at: new Date().toISOString() })).toEqual([200, undefined]);
});

test('positions are compared layer by layer', async () => {
  const { id } = await prepared();
  const other = await prepared();
  const { body } = await call(gateway, 'GET', `/v1/streams/${id}/diff?with=${encodeURIComponent(other.name)}`);
  expect(body).toMatchObject({
    from: { streamId: id, seq: 0 },
    to: { streamId: other.id, seq: 0 },
    common: null,
    counts: { added: 0, removed: 0, changed: 0, kept: 0 },
    layers: [
      { layer: 3, distance: 1.5, from: { deltaNorm: 3 }, to: { deltaNorm: 3 } },
      { layer: 4, distance: 2 },
    ],
  });
  expect((await call(gateway, 'GET', `/v1/streams/${id}/diff?withSeq=4`)).body.code).toBe('UNKNOWN_POSITION');
  expect((await call(gateway, 'GET', `/v1/streams/${id}/diff?with=nobody`)).body.code).toBe('UNKNOWN_STREAM');
  expect((await call(gateway, 'GET', `/v1/streams/${id}/diff?of=1`)).status).toBe(400);
  const waiting = await makeStream(gateway);
  expect((await call(gateway, 'GET', `/v1/streams/${waiting.id}/diff`)).body.code).toBe('NOT_READY');
});

test('a merge says what it would do', async () => {
  const { id } = await prepared();
  const other = await prepared();
  const merge = (json: object) => call(gateway, 'POST', `/v1/streams/${id}/merges`, { json });
  expect((await merge({ from: other.name, dryRun: true })).body).toMatchObject({
    dryRun: true,
    counts: { edits: 0, revocations: 0, conflicts: 0, present: 0 },
    queued: [],
    revoked: null,
  });
  expect((await merge({ from: 'nobody' })).body.code).toBe('UNKNOWN_STREAM');
  expect((await merge({ from: id })).body.code).toBe('INVALID_REQUEST');
  expect((await merge({ from: other.id, conflicts: 'both' })).status).toBe(400);
});
