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

/** A moment between two steps: clocks count in milliseconds. */
async function moment(): Promise<string> {
  const now = async () => new Promise<Date>((resolve) => setTimeout(() => resolve(new Date()), 5));
  await now();
  const at = await now();
  await now();
  return at.toISOString();
}

it('finds where the head was at a time, through rollbacks and before a branch was made', async () => {
  const before = await moment();
  const stream = await sampleStream(store, 'timed');
  const empty = await moment();
  await write(store, stream, [sampleEdit('a', 'x')]);
  const one = await moment();
  await write(store, stream, [sampleEdit('b', 'x')]);
  const two = await moment();
  await store.rollback(stream.id, 1);
  const back = await moment();
  await write(store, stream, [sampleEdit('c', 'x')]);
  const branch = await store.createBranch(stream.id, { name: 'timed branch', seq: 3 });
  const branched = await moment();
  await write(store, branch, [sampleEdit('d', 'x')]);

  const at = async (id: string, time: string) => (await store.resolvePosition(id, { at: time })).seq;
  expect(await Promise.all([empty, one, two, back, branched].map((time) => at(stream.id, time)))).toEqual([
    0, 1, 2, 1, 3,
  ]);
  expect(await store.resolvePosition(stream.id, { at: two })).toEqual({
    seq: 2,
    hash: await store.hashAt(stream.id, 2),
  });
  expect(await Promise.all([empty, one, two, branched].map((time) => at(branch.id, time)))).toEqual([0, 1, 1, 3]);
  const [committed] = await store.listBatches(stream.id);
  expect(await at(stream.id, String(committed.committedAt))).toBe(1);
  const refused = (time: string) => expect(at(stream.id, time)).rejects;
  await refused(before).toMatchObject({ code: 'UNKNOWN_POSITION' });
  await refused(new Date(Date.now() + 60_000).toISOString()).toMatchObject({ code: 'UNKNOWN_POSITION' });
  await refused('yesterday').toMatchObject({ code: 'INVALID_REQUEST' });
  await expect(at(branch.id, before)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
});

it('finds what an edit was written on, and knows edits that the head does not build on', async () => {
  const stream = await sampleStream(store, 'edits');
  const [a] = (await write(store, stream, [sampleEdit('a', 'x')])).edits;
  const [changed] = (await write(store, stream, [sampleEdit('a', 'y')])).edits;
  const branch = await store.createBranch(stream.id, { name: 'edits branch', seq: 3 });
  const [own] = (await write(store, branch, [sampleEdit('b', 'x')])).edits;
  const before = async (id: string, edit: string) => (await store.resolvePosition(id, { beforeEdit: edit })).seq;
  expect(await before(stream.id, a.id)).toBe(0);
  expect(await before(stream.id, changed.id)).toBe(1);
  expect(await Promise.all([a, changed, own].map((edit) => before(branch.id, edit.id)))).toEqual([0, 1, 3]);
  await expect(before(stream.id, own.id)).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
  await expect(before(stream.id, `edt_${'0'.repeat(32)}`)).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
  const queued = await store.enqueueEdits(stream.id, [sampleEdit('c', 'x')]);
  await expect(before(stream.id, queued.edits[0].id)).rejects.toMatchObject({
    code: 'EDIT_NOT_ON_LINEAGE',
    message: expect.stringContaining('was never written'),
  });
  await store.rollback(stream.id, 1);
  await expect(before(stream.id, changed.id)).rejects.toMatchObject({ code: 'EDIT_NOT_ON_LINEAGE' });
  expect(await store.resolvePosition(branch.id, { seq: 2 })).toMatchObject({ seq: 2 });
  await store.createCheckpoint(stream.id, 'named');
  expect(await store.resolvePosition(stream.id, { checkpoint: 'named' })).toMatchObject({ seq: 1 });
  await expect(store.resolvePosition(stream.id, { checkpoint: 'none' })).rejects.toMatchObject({
    code: 'UNKNOWN_CHECKPOINT',
  });
  await expect(store.resolvePosition(stream.id, { seq: 9 })).rejects.toMatchObject({
    code: 'UNKNOWN_POSITION',
    message: expect.stringContaining('the future'),
  });
});
