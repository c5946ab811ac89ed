import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleEntry, sampleMatrix, sampleStream, write } from './testing/samples.js';

const SECONDS = { targets: 0, keys: 0, update: 0, total: 0 };
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

async function claim(streamId: string, limit = 8) {
  const batch = await store.claimBatch(streamId, limit);
  if (!batch) throw new Error('nothing was claimed');
  return batch;
}
const statuses = async (streamId: string) => (await store.listEdits(streamId)).edits.map((edit) => edit.status);
const reasons = async (streamId: string) => (await store.listEdits(streamId)).edits.map((edit) => edit.reason);

it('gives everyone who claims at once the same batch, also after a restart', async () => {
  const stream = await sampleStream(store, 'claims');
  await store.enqueueEdits(
    stream.id,
    ['a', 'b', 'c', 'd', 'e'].map((name) => sampleEdit(name, 'x')),
  );
  const batches = await Promise.all(Array.from({ length: 40 }, () => store.claimBatch(stream.id, 3)));
  expect(new Set(batches.map((batch) => JSON.stringify(batch))).size).toBe(1);
  const other = createStore({ databaseUrl: database.url, poolSize: 2 });
  expect(await other.claimBatch(stream.id, 1)).toEqual(batches[0]);
  await other.close();
  await finish(store, stream, await claim(stream.id));
  const next = await claim(stream.id);
  expect([next.seq, next.parentSeq, next.edits.map((e) => e.subject)]).toEqual([2, 1, ['d', 'e']]);
});

it('writes only the last of queued edits of the same subject and prompt', async () => {
  const stream = await sampleStream(store, 'last wins');
  const { edits } = await store.enqueueEdits(
    stream.id,
    ['x', 'y', 'z'].map((target) => sampleEdit('Oslo', target)),
  );
  const batch = await claim(stream.id);
  expect(batch.edits.map((e) => e.target)).toEqual(['z']);
  expect(await statuses(stream.id)).toEqual(['superseded', 'superseded', 'queued']);
  expect((await reasons(stream.id))[0]).toBe(`superseded by ${edits[2].id}`);
});

it('writes an edit anew whose importance alone differs from that of the one in the weights', async () => {
  const stream = await sampleStream(store, 'weigh again');
  await write(store, stream, [sampleEdit('Oslo', 'Norway', { importance: 2 })]);
  const { edits } = await store.enqueueEdits(stream.id, [sampleEdit('oslo', 'Norway', { importance: 4 })]);
  const batch = await claim(stream.id);
  expect(batch.edits.map((e) => e.importance)).toEqual([4]);
  expect(batch.supersedes).toMatchObject({ columns: [{ seq: 1, column: 0 }], edits: [{ importance: 2 }] });
  await finish(store, stream, batch);
  expect(await statuses(stream.id)).toEqual(['superseded', 'applied']);
  expect((await reasons(stream.id))[0]).toBe(`superseded by ${edits[0].id}`);
  expect(await store.claimBatch(stream.id, 8)).toBeNull();
});

it('takes the replaced edit out in the same commit', async () => {
  const stream = await sampleStream(store, 'supersede');
  await write(store, stream, [sampleEdit('Oslo', 'Norway'), sampleEdit('Rome', 'Italy')]);
  const { edits } = await store.enqueueEdits(stream.id, [sampleEdit('rome', 'France'), sampleEdit('Bern', 'Swiss')]);
  const batch = await claim(stream.id);
  expect(batch).toMatchObject({
    seq: 3,
    parentSeq: 1,
    supersedes: { seq: 2, parentSeq: 1, kind: 'revoke', columns: [{ seq: 1, column: 1 }] },
  });
  await expect(store.stageEntry(sampleEntry(stream, batch, 3), 1)).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
  for (const layer of [3, 5]) await store.stageEntry(sampleEntry(stream, batch, layer), 1).catch(() => {});
  await expect(store.commitBatch(stream.id, 2, SECONDS)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  await expect(store.commitBatch(stream.id, 3, SECONDS)).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
  const done = await finish(store, stream, batch);
  expect(done.head).toBe(3);
  expect(await store.lineage(stream.id, 3)).toEqual({ seqs: [1, 2, 3], forked: false });
  expect(await statuses(stream.id)).toEqual(['applied', 'superseded', 'applied', 'applied']);
  expect((await reasons(stream.id))[1]).toBe(`superseded by ${edits[0].id}`);
  expect((await store.activeEdits(stream.id)).map((e) => e.target)).toEqual(['Norway', 'France', 'Swiss']);
  expect((await store.activeEdits(stream.id, 1)).map((e) => e.target)).toEqual(['Norway', 'Italy']);
  expect((await store.verifyLog(stream.id, 3)).problems).toEqual([]);
});

it('does not write again what is in the weights', async () => {
  const stream = await sampleStream(store, 'there and back');
  const first = await write(store, stream, [sampleEdit('Oslo', 'Norway')]);
  await store.enqueueEdits(stream.id, [sampleEdit('Oslo', 'Sweden'), sampleEdit('Oslo', 'Norway')]);
  expect(await store.claimBatch(stream.id, 8)).toBeNull();
  expect(await statuses(stream.id)).toEqual(['applied', 'superseded', 'rejected']);
  expect((await reasons(stream.id))[2]).toBe(`the same as ${first.edits[0].id}`);
});

it('drops edits with their columns and targets, and keeps their outcome', async () => {
  const stream = await sampleStream(store, 'drop');
  await store.enqueueEdits(
    stream.id,
    ['a', 'b', 'c'].map((name) => sampleEdit(name, 'x')),
  );
  const batch = await claim(stream.id);
  await expect(store.saveTargets(stream.id, 1, sampleMatrix(4, 2, 1))).rejects.toMatchObject({
    code: 'INVALID_TENSOR',
  });
  const targets = sampleMatrix(4, 3, 1);
  await store.saveTargets(stream.id, 1, targets);
  await store.saveTargets(stream.id, 1, sampleMatrix(4, 3, 2));
  expect(await store.readTargets(stream.id, 1)).toEqual(targets);
  expect(await statuses(stream.id)).toEqual(['resolved', 'resolved', 'resolved']);
  const outcomes = [{ editId: batch.edits[1].id, status: 'verified', reason: 'known', answer: 'x\0' }] as const;
  await store.dropFromBatch(stream.id, 1, outcomes);
  await store.dropFromBatch(stream.id, 1, outcomes);
  const left = await store.getClaimedBatch(stream.id, 1);
  expect(left.edits.map((e) => e.subject)).toEqual(['a', 'c']);
  const kept = await store.readTargets(stream.id, 1);
  expect(Array.from(kept?.data ?? [])).toEqual([...targets.data.slice(0, 4), ...targets.data.slice(8)]);
  await finish(store, stream, left);
  const edits = (await store.listEdits(stream.id)).edits;
  expect(edits.map((e) => [e.status, e.seq, e.column])).toEqual([
    ['applied', 1, 0],
    ['verified', null, null],
    ['applied', 1, 1],
  ]);
  expect(edits[1]).toMatchObject({ reason: 'known', answer: 'x\ufffd' });
  await expect(store.dropFromBatch(stream.id, 1, outcomes)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.claimRevoke(stream.id, [edits[1].id], null)).rejects.toMatchObject({ code: 'EDIT_NOT_REVOCABLE' });
  await write(store, stream, [sampleEdit('b', 'y')]);
  expect((await statuses(stream.id))[1]).toBe('superseded');
});

it('does not drop from a batch that is partly staged', async () => {
  const stream = await sampleStream(store, 'drop late');
  await store.enqueueEdits(
    stream.id,
    ['a', 'b'].map((name) => sampleEdit(name, 'x')),
  );
  const batch = await claim(stream.id);
  await store.stageEntry(sampleEntry(stream, batch, 3), 1);
  const drop = store.dropFromBatch(stream.id, 1, [{ editId: batch.edits[0].id }]);
  await expect(drop).rejects.toMatchObject({ code: 'LOG_CONFLICT' });
  const reject = store.updateEdits(stream.id, [{ editId: batch.edits[0].id, status: 'rejected' }]);
  await expect(reject).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
});

it('closes a batch whose edits were all dropped and goes on after it', async () => {
  const stream = await sampleStream(store, 'empty');
  await store.enqueueEdits(stream.id, [sampleEdit('a', 'x')]);
  const batch = await claim(stream.id);
  await store.dropFromBatch(stream.id, 1, [{ editId: batch.edits[0].id, status: 'rejected', reason: 'too long' }]);
  const expected = { head: 0, hash: stream.headHash };
  expect(await store.commitBatch(stream.id, 1, SECONDS)).toEqual(expected);
  expect(await store.commitBatch(stream.id, 1, SECONDS)).toEqual(expected);
  expect((await store.getClaimedBatch(stream.id, 1)).edits).toEqual([]);
  expect(await store.listBatches(stream.id)).toEqual([]);
  const next = await write(store, stream, [sampleEdit('a', 'y')]);
  expect([next.seq, next.parentSeq]).toEqual([2, 0]);
  expect(await store.lineage(stream.id, 2)).toEqual({ seqs: [2], forked: false });
});

it('still commits the revoke when the edits that replace were all dropped', async () => {
  const stream = await sampleStream(store, 'revoke only');
  await write(store, stream, [sampleEdit('a', 'x')]);
  await store.enqueueEdits(stream.id, [sampleEdit('a', 'y')]);
  const batch = await claim(stream.id);
  for (const layer of [3, 5])
    if (batch.supersedes) await store.stageEntry(sampleEntry(stream, batch.supersedes, layer), 1);
  await store.dropFromBatch(stream.id, 3, [{ editId: batch.edits[0].id, status: 'verified' }]);
  const done = await store.commitBatch(stream.id, 3, SECONDS);
  expect(done.head).toBe(2);
  expect(await store.commitBatch(stream.id, 3, SECONDS)).toEqual(done);
  expect(await statuses(stream.id)).toEqual(['superseded', 'verified']);
  expect((await store.verifyLog(stream.id, 2)).problems).toEqual([]);
});

it('revokes edits once, and not those that are not in the weights', async () => {
  const stream = await sampleStream(store, 'revoke');
  const { edits } = await write(
    store,
    stream,
    ['a', 'b', 'c'].map((name) => sampleEdit(name, 'x')),
  );
  const ids = [edits[2].id, edits[0].id];
  const batches = await Promise.all(Array.from({ length: 10 }, () => store.claimRevoke(stream.id, ids, 'wrong')));
  expect(new Set(batches.map((batch) => JSON.stringify(batch))).size).toBe(1);
  expect(batches[0]).toMatchObject({ seq: 2, parentSeq: 1, kind: 'revoke', supersedes: null });
  expect(batches[0].columns).toEqual([
    { seq: 1, column: 0 },
    { seq: 1, column: 2 },
  ]);
  expect(await store.claimBatch(stream.id, 8)).toEqual(batches[0]);
  const others = store.claimRevoke(stream.id, [edits[1].id], null);
  await expect(others).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  await finish(store, stream, batches[0]);
  expect(await statuses(stream.id)).toEqual(['revoked', 'applied', 'revoked']);
  expect(await reasons(stream.id)).toEqual(['wrong', null, 'wrong']);
  for (const [list, code] of [
    [[edits[0].id], 'EDIT_NOT_REVOCABLE'],
    [['edt_0'], 'UNKNOWN_EDIT'],
    [[], 'INVALID_REQUEST'],
  ] as const)
    await expect(store.claimRevoke(stream.id, list, null)).rejects.toMatchObject({ code });
});

it('has one chain under way at a time', async () => {
  const stream = await sampleStream(store, 'serial');
  const { edits } = await write(store, stream, [sampleEdit('a', 'x')]);
  await store.enqueueEdits(stream.id, [sampleEdit('b', 'x')]);
  const [apply, revoke] = await Promise.allSettled([
    store.claimBatch(stream.id, 8),
    store.claimRevoke(stream.id, [edits[0].id], null),
  ]);
  expect(apply.status).toBe('fulfilled');
  const kind = apply.status === 'fulfilled' && apply.value?.kind;
  if (kind === 'apply') expect(revoke).toMatchObject({ status: 'rejected', reason: { code: 'NOT_READY' } });
  else expect(revoke.status).toBe('fulfilled');
});

it('gives a batch up and queues its edits again', async () => {
  const stream = await sampleStream(store, 'release');
  await write(store, stream, [sampleEdit('a', 'x')]);
  await store.enqueueEdits(stream.id, [sampleEdit('a', 'y')]);
  const batch = await claim(stream.id);
  for (const layer of [3, 5])
    if (batch.supersedes) await store.stageEntry(sampleEntry(stream, batch.supersedes, layer), 1);
  await store.saveTargets(stream.id, 3, sampleMatrix(4, 1, 1));
  await store.releaseBatch(stream.id, 3);
  await store.releaseBatch(stream.id, 3);
  expect(await statuses(stream.id)).toEqual(['applied', 'queued']);
  await expect(store.readEntries(stream.id, 3, [2])).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.getClaimedBatch(stream.id, 3)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.commitBatch(stream.id, 3, SECONDS)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.stageEntry(sampleEntry(stream, batch, 3), 1)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  const again = await claim(stream.id);
  expect([again.seq, again.supersedes?.seq, again.parentSeq]).toEqual([5, 4, 1]);
  expect((await finish(store, stream, again)).head).toBe(5);
});

it('keeps what was found out about edits', async () => {
  const stream = await sampleStream(store, 'outcomes');
  const { edits } = await write(store, stream, [sampleEdit('a', 'x')]);
  const baseline = { answer: 'z\0', paraphrases: ['p'], neighbours: [] };
  await store.updateEdits(stream.id, [{ editId: edits[0].id, status: 'verified', answer: 'x', baseline }]);
  expect(await store.getEdit(stream.id, edits[0].id)).toMatchObject({
    status: 'verified',
    answer: 'x',
    baseline: { answer: 'z\ufffd' },
  });
  for (const status of ['revoked', 'superseded'] as const)
    await expect(store.updateEdits(stream.id, [{ editId: edits[0].id, status }])).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  await expect(store.updateEdits(stream.id, [{ editId: 'edt_0' }])).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
});
