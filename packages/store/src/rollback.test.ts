import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleEntry, sampleMatrix, sampleStream, sql, write } from './testing/samples.js';

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

const shown = async (streamId: string) =>
  (await store.listEdits(streamId)).edits.map((edit) => `${edit.subject} ${edit.status}`);

it('moves the head back and forth through the tree', async () => {
  const stream = await sampleStream(store, 'tree');
  const a = (await write(store, stream, [sampleEdit('a', 'x'), sampleEdit('b', 'x')])).edits;
  await store.updateEdits(stream.id, [{ editId: a[0].id, status: 'verified', answer: 'x' }]);
  await write(store, stream, [sampleEdit('c', 'x')]);
  await finish(store, stream, await store.claimRevoke(stream.id, [a[0].id], 'wrong'));
  await write(store, stream, [sampleEdit('b', 'y')]);
  const tip = await store.getStream(stream.id);
  expect(tip.head).toBe(5);
  const atTip = ['a revoked', 'b superseded', 'c applied', 'b applied'];
  expect(await shown(stream.id)).toEqual(atTip);

  const back = await store.rollback(stream.id, 1);
  expect(back).toMatchObject({ head: 1, hash: await store.hashAt(stream.id, 1) });
  expect(back.editIds).toHaveLength(4);
  expect(await shown(stream.id)).toEqual(['a verified', 'b applied', 'c revoked', 'b revoked']);
  const [first, , third] = (await store.listEdits(stream.id)).edits;
  expect([first.reason, third.reason]).toEqual([null, 'rolled back to seq 1']);
  expect(await store.rollback(stream.id, 1)).toEqual(back);
  expect((await store.activeEdits(stream.id)).map((e) => e.subject)).toEqual(['a', 'b']);

  const branch = await write(store, stream, [sampleEdit('d', 'x')]);
  expect([branch.seq, branch.parentSeq]).toEqual([6, 1]);
  expect(await store.lineage(stream.id, 6)).toEqual({ seqs: [1, 6], forked: false });
  expect(await store.lineage(stream.id, 6, 1)).toEqual({ seqs: [6], forked: false });
  expect(await store.lineage(stream.id, 6, 5)).toEqual({ seqs: [1, 6], forked: true });
  expect(await store.lineage(stream.id, 1, 6)).toEqual({ seqs: [1], forked: true });
  expect(await store.lineage(stream.id, 0, 6)).toEqual({ seqs: [], forked: true });
  expect(await store.lineage(stream.id, 6, 6)).toEqual({ seqs: [], forked: false });
  expect((await store.listBatches(stream.id)).map((b) => b.onHead)).toEqual([true, false, false, false, false, true]);

  const forward = await store.rollback(stream.id, 5);
  expect(forward.hash).toBe(tip.headHash);
  expect(await shown(stream.id)).toEqual([...atTip, 'd revoked']);
  expect((await store.getEdit(stream.id, a[0].id)).reason).toBe('wrong');
  expect((await store.verifyLog(stream.id, 5)).problems).toEqual([]);
  expect((await store.verifyLog(stream.id, 6)).problems).toEqual([]);

  await store.rollback(stream.id, 0);
  expect(new Set((await store.listEdits(stream.id)).edits.map((e) => e.status))).toEqual(new Set(['revoked']));
  expect(await store.getStream(stream.id)).toMatchObject({ head: 0, headHash: stream.headHash });
  const rollbacks = (await store.listEvents(stream.id)).filter((event) => event.kind === 'rollback');
  expect(rollbacks.map((event) => [event.seq, event.detail.from])).toEqual([
    [1, 5],
    [5, 6],
    [0, 5],
  ]);
});

it('releases what is claimed and never reads it again', async () => {
  const stream = await sampleStream(store, 'released');
  await write(store, stream, [sampleEdit('a', 'x')]);
  await store.enqueueEdits(stream.id, [sampleEdit('b', 'x')]);
  const batch = await store.claimBatch(stream.id, 8);
  if (!batch) throw new Error('nothing was claimed');
  await store.saveTargets(stream.id, batch.seq, sampleMatrix(4, 1, 1));
  await store.stageEntry(sampleEntry(stream, batch, 3), 1);
  const result = await store.rollback(stream.id, 1);
  expect(result).toMatchObject({ head: 1, editIds: [] });
  expect(await shown(stream.id)).toEqual(['a applied', 'b queued']);
  await expect(store.readEntries(stream.id, 3, [2])).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.lineage(stream.id, 2)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  const again = await store.claimBatch(stream.id, 8);
  expect([again?.seq, again?.parentSeq]).toEqual([3, 1]);
});

it('knows only committed positions', async () => {
  const stream = await sampleStream(store, 'positions');
  await store.enqueueEdits(stream.id, [sampleEdit('a', 'x')]);
  await store.claimBatch(stream.id, 8);
  for (const seq of [1, 2, -1, 1.5, 3e9])
    for (const ask of [store.rollback, store.hashAt, store.lineage, store.verifyLog])
      await expect(ask(stream.id, seq)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  expect((await store.getStream(stream.id)).head).toBe(0);
});

it('names positions with checkpoints', async () => {
  const stream = await sampleStream(store, 'checkpoints');
  await write(store, stream, [sampleEdit('a', 'x')]);
  const made = await store.createCheckpoint(stream.id, 'one');
  expect(made).toMatchObject({ seq: 1, hash: await store.hashAt(stream.id, 1) });
  expect(await store.createCheckpoint(stream.id, 'one')).toEqual(made);
  await write(store, stream, [sampleEdit('b', 'x')]);
  await expect(store.createCheckpoint(stream.id, 'one')).rejects.toMatchObject({ code: 'NAME_TAKEN' });
  await store.createCheckpoint(stream.id, 'two');
  expect((await store.listCheckpoints(stream.id)).map((c) => [c.name, c.seq])).toEqual([
    ['one', 1],
    ['two', 2],
  ]);
  expect(await store.getCheckpoint(stream.id, 'one')).toEqual(made);
  await expect(store.getCheckpoint(stream.id, 'none')).rejects.toMatchObject({ code: 'UNKNOWN_CHECKPOINT' });
});

it('walks a lineage of 100,000 batches, and its end alone at a fraction of the cost', async () => {
  const stream = await sampleStream(store, 'long');
  await sql(
    database.url,
    `INSERT INTO batches (stream_id, seq, parent_seq, kind, status, hash, committed_at)
     SELECT $1, n, n - 1, 'apply', 'committed', repeat('0', 64), now() FROM generate_series(1, 100000) n`,
    [stream.id],
  );
  await sql(database.url, 'ANALYZE batches');
  await sql(database.url, 'UPDATE streams SET head = 100000, next_seq = 100001 WHERE id = $1', [stream.id]);
  const timed = async (knownUpTo?: number) => {
    const start = performance.now();
    const { seqs } = await store.lineage(stream.id, 100_000, knownUpTo);
    return { seqs, seconds: (performance.now() - start) / 1000 };
  };
  const whole = await timed();
  expect(whole.seqs).toHaveLength(100_000);
  expect(whole.seqs[99_999]).toBe(100_000);
  const end = await timed(99_990);
  expect(end.seqs).toHaveLength(10);
  expect(end.seconds).toBeLessThan(whole.seconds / 4);
});
