import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleEdit, sampleStream, write } from './testing/samples.js';

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

it('stores 10,000 edits in one transaction, in order, and replays them by their key', async () => {
  const edits = Array.from({ length: 10_000 }, (_, i) =>
    sampleEdit(`subject ${i}`, `target ${i}`, { paraphrases: [`a ${i}`, `b ${i}`], neighbours: ['n'], tags: ['t'] }),
  );
  const stream = await sampleStream(store, 'many');
  const { edits: stored } = await store.enqueueEdits(stream.id, edits, { key: 'bulk', bodyHash: 'x' });
  expect(stored.map((edit) => edit.ordinal)).toEqual(edits.map((_, i) => i + 1));
  expect((await store.getStream(stream.id)).counts).toEqual({ queued: 10_000 });
  const again = await store.enqueueEdits(stream.id, edits, { key: 'bulk', bodyHash: 'x' });
  expect(again).toEqual({ edits: stored, replayed: true });
});

it('pages through edits', async () => {
  const stream = await sampleStream(store, 'pages');
  await store.enqueueEdits(
    stream.id,
    ['a', 'b', 'c'].map((name) => sampleEdit(name, 'x')),
  );
  const first = await store.listEdits(stream.id, { limit: 2 });
  expect([first.edits.map((e) => e.subject), first.next]).toEqual([['a', 'b'], 2]);
  const second = await store.listEdits(stream.id, { limit: 2, after: 2, status: 'queued' });
  expect([second.edits.map((e) => e.subject), second.next]).toEqual([['c'], null]);
  expect((await store.listEdits(stream.id, { status: 'applied' })).edits).toEqual([]);
});

it('answers a repeated request as the first, whatever became of the edits', async () => {
  const stream = await sampleStream(store, 'repeat');
  const body = [sampleEdit('Oslo', 'Norway'), sampleEdit('oslo', 'Norway')];
  const send = (bodyHash: string) => store.enqueueEdits(stream.id, body, { key: 'k1', bodyHash });
  const first = await send('a');
  expect(first.edits.map((e) => e.status)).toEqual(['queued', 'rejected']);
  await write(store, stream, [sampleEdit('Rome', 'Italy')]);
  expect(await send('a')).toEqual({ edits: first.edits, replayed: true });
  await expect(send('b')).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
  const other = await sampleStream(store, 'repeat elsewhere');
  expect((await store.enqueueEdits(other.id, body, { key: 'k1', bodyHash: 'b' })).replayed).toBe(false);
});

it('has one effect of 100 requests at once with the same key', async () => {
  const stream = await sampleStream(store, 'race');
  const send = () => store.enqueueEdits(stream.id, [sampleEdit('Oslo', 'Norway')], { key: 'r', bodyHash: 'h' });
  const answers = await Promise.all(Array.from({ length: 100 }, send));
  expect(answers.filter((answer) => !answer.replayed)).toHaveLength(1);
  expect(new Set(answers.map((answer) => JSON.stringify(answer.edits))).size).toBe(1);
  expect((await store.listEdits(stream.id)).edits).toHaveLength(1);
});

it('rejects what the latest edit of the same subject and prompt says already', async () => {
  const stream = await sampleStream(store, 'duplicates');
  const { edits } = await store.enqueueEdits(stream.id, [
    sampleEdit('Köln', 'Germany'),
    sampleEdit('  KÖLN', ' Germany'),
    sampleEdit('Köln', 'germany'),
    sampleEdit('Köln', 'Germany'),
  ]);
  expect(edits.map((e) => e.status)).toEqual(['queued', 'rejected', 'queued', 'queued']);
  expect(edits[1].reason).toBe(`the same as ${edits[0].id}`);
});

it('keeps the importance of an edit, 1 without one; the same edit with another importance is no repeat', async () => {
  const stream = await sampleStream(store, 'importance');
  const { edits } = await store.enqueueEdits(stream.id, [
    sampleEdit('Köln', 'Germany'),
    sampleEdit('Köln', 'Germany', { importance: 1 }),
    sampleEdit('Köln', 'Germany', { importance: 2.5 }),
    sampleEdit('Köln', 'Germany', { importance: 2.5 }),
    sampleEdit('Köln', 'Germany'),
  ]);
  expect(edits.map((e) => [e.status, e.importance])).toEqual([
    ['queued', 1],
    ['rejected', 1],
    ['queued', 2.5],
    ['rejected', 2.5],
    ['queued', 1],
  ]);
  expect((await store.listEdits(stream.id)).edits).toEqual(edits);
  const batch = await store.claimBatch(stream.id, 8);
  expect(batch?.edits.map((e) => [e.ordinal, e.importance])).toEqual([[5, 1]]);
  await expect(store.enqueueEdits(stream.id, [sampleEdit('x', 'y', { importance: 0 })])).rejects.toThrow(
    /edits_importance_check/,
  );
});

it('names the field whose text cannot be stored', async () => {
  const stream = await sampleStream(store, 'bad text');
  const bad = (overrides: object, field: string) =>
    expect(
      store.enqueueEdits(stream.id, [sampleEdit('a', 'b'), sampleEdit('c', 'd', overrides)]),
    ).rejects.toMatchObject({ code: 'INVALID_REQUEST', details: [{ field }] });
  await bad({ prompt: 'zero \0 {}' }, 'edits[1].prompt');
  await bad({ target: 'half \ud800 pair' }, 'edits[1].target');
  await bad({ paraphrases: ['fine', 'not \0'] }, 'edits[1].paraphrases[1]');
  await bad({ source: '\udfff' }, 'edits[1].source');
  await expect(sampleStream(store, 'na\0me')).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  await expect(store.getStream('\0')).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  expect((await store.listEdits(stream.id)).edits).toEqual([]);
  const whole = await store.enqueueEdits(stream.id, [sampleEdit('🙂', "Robert'); DROP TABLE edits;-- \u2028 \\0")]);
  expect((await store.getEdit(stream.id, whole.edits[0].id)).target).toBe("Robert'); DROP TABLE edits;-- \u2028 \\0");
});

it('refuses edits for a stream that is not there', async () => {
  const send = store.enqueueEdits('str_0', [sampleEdit('a', 'b')]);
  await expect(send).rejects.toMatchObject({ code: 'UNKNOWN_STREAM' });
  const stream = await sampleStream(store, 'no such edit');
  await expect(store.getEdit(stream.id, 'edt_0')).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
});
