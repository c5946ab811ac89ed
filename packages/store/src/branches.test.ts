import type { Stream } from '@errata/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleMatrix, sampleStream, sql, write } from './testing/samples.js';

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

async function revoke(stream: Stream, editId: string, reason: string): Promise<void> {
  await finish(store, stream, await store.claimRevoke(stream.id, [editId], reason));
}

it('goes on from a position without copying anything, and neither sees what the other does', async () => {
  const origin = await sampleStream(store, 'origin');
  const [a, b] = (await write(store, origin, [sampleEdit('a', 'x'), sampleEdit('b', 'x')])).edits;
  const [c] = (await write(store, origin, [sampleEdit('c', 'x')])).edits;
  await revoke(origin, b.id, 'wrong');
  await write(store, origin, [sampleEdit('d', 'x')]);
  const branch = await store.createBranch(origin.id, { name: 'trial', seq: 3 });
  expect(branch).toMatchObject({
    head: 3,
    headHash: await store.hashAt(origin.id, 3),
    origin: { streamId: origin.id, seq: 3 },
    config: origin.config,
    counts: { applied: 2, revoked: 1 },
  });
  expect(await shown(branch.id)).toEqual(['a applied', 'b revoked', 'c applied']);
  expect(await store.getEdit(branch.id, b.id)).toMatchObject({
    status: 'revoked',
    reason: 'wrong',
    streamId: origin.id,
  });
  await expect(store.getEdit(branch.id, `edt_${'0'.repeat(32)}`)).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
  expect((await store.listBranches(origin.id)).map(({ name }) => name)).toEqual(['trial']);

  await revoke(branch, a.id, 'in the branch');
  expect(await shown(branch.id)).toEqual(['a revoked', 'b revoked', 'c applied']);
  expect(await shown(origin.id)).toEqual(['a applied', 'b revoked', 'c applied', 'd applied']);
  await revoke(origin, c.id, 'in the origin');
  expect(await shown(branch.id)).toEqual(['a revoked', 'b revoked', 'c applied']);
  expect((await store.activeEdits(branch.id)).map((edit) => edit.id)).toEqual([c.id]);
  expect((await store.activeEdits(origin.id)).map(({ subject }) => subject)).toEqual(['a', 'd']);
  expect((await store.activeEdits(origin.id, 4)).map(({ subject }) => subject)).toEqual(['a', 'c', 'd']);
  await expect(store.claimRevoke(branch.id, [a.id], null)).rejects.toMatchObject({
    code: 'EDIT_NOT_REVOCABLE',
    message: expect.stringContaining('is revoked'),
  });

  const superseding = await write(store, branch, [sampleEdit('c', 'y')]);
  expect([superseding.seq, superseding.supersedes?.seq, superseding.supersedes?.columns]).toEqual([
    6,
    5,
    [{ seq: 2, column: 0 }],
  ]);
  expect(await store.getEdit(branch.id, c.id)).toMatchObject({
    status: 'superseded',
    reason: `superseded by ${superseding.edits[0].id}`,
  });
  expect(await store.getEdit(origin.id, c.id)).toMatchObject({ status: 'revoked', reason: 'in the origin' });
  const again = await store.enqueueEdits(branch.id, [sampleEdit('c', 'y'), sampleEdit('a', 'x')]);
  expect(again.edits.map(({ status }) => status)).toEqual(['rejected', 'queued']);
  const claimed = await store.claimBatch(branch.id, 8);
  if (!claimed) throw new Error('nothing was claimed');
  await finish(store, branch, claimed);
  expect((await store.listEdits(branch.id, { status: 'applied' })).edits.map((e) => e.subject)).toEqual(['c', 'a']);

  expect(await store.lineage(branch.id, 7)).toEqual({ seqs: [1, 2, 3, 4, 5, 6, 7], forked: false });
  expect(await store.lineage(branch.id, 7, 2)).toEqual({ seqs: [3, 4, 5, 6, 7], forked: false });
  expect((await store.listBatches(branch.id)).map(({ seq, streamId }) => [seq, streamId === branch.id])).toEqual([
    [1, false],
    [2, false],
    [3, false],
    [4, true],
    [5, true],
    [6, true],
    [7, true],
  ]);
  const entries = await store.readEntries(branch.id, 5, [7, 2, 4]);
  expect(entries.map(({ streamId, seq }) => [streamId, seq])).toEqual([
    [branch.id, 7],
    [origin.id, 2],
    [branch.id, 4],
  ]);
  for (const at of [3, 7]) expect((await store.verifyLog(branch.id, at)).problems).toEqual([]);
  expect(await store.verifyLog(branch.id, 7)).toMatchObject({
    hash: (await store.getStream(branch.id)).headHash,
    entries: 14,
  });
  const { rows } = await sql(
    database.url,
    'SELECT (SELECT count(*) FROM edits WHERE stream_id = $1)::int AS edits, (SELECT count(*) FROM batches WHERE stream_id = $1)::int AS batches',
    [branch.id],
  );
  expect(rows).toEqual([{ edits: 3, batches: 4 }]);
});

it('rolls back below the point where it began, and forward again', async () => {
  const origin = await sampleStream(store, 'deep origin');
  for (const subject of ['a', 'b', 'c']) await write(store, origin, [sampleEdit(subject, 'x')]);
  await store.rollback(origin.id, 2);
  await write(store, origin, [sampleEdit('d', 'x')]);
  const branch = await store.createBranch(origin.id, { name: 'deep', seq: 4 });
  await store.rollback(origin.id, 0);
  await write(store, branch, [sampleEdit('e', 'x')]);
  expect(await store.lineage(branch.id, 5)).toEqual({ seqs: [1, 2, 4, 5], forked: false });
  for (const ask of [store.rollback, store.hashAt, store.lineage])
    await expect(ask(branch.id, 3)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.createBranch(branch.id, { name: 'off', seq: 3 })).rejects.toMatchObject({
    code: 'UNKNOWN_POSITION',
    message: expect.stringContaining('does not build on it'),
  });

  const back = await store.rollback(branch.id, 1);
  expect(back.editIds).toHaveLength(3);
  expect(await shown(branch.id)).toEqual(['a applied', 'b revoked', 'd revoked', 'e revoked']);
  expect((await store.listEdits(branch.id)).edits.map(({ reason }) => reason)).toEqual([
    null,
    ...Array(3).fill('rolled back to seq 1'),
  ]);
  const next = await write(store, branch, [sampleEdit('f', 'x')]);
  expect([next.seq, next.parentSeq]).toEqual([6, 1]);
  expect((await store.verifyLog(branch.id, 6)).problems).toEqual([]);
  expect((await store.rollback(branch.id, 5)).editIds).toHaveLength(4);
  expect(await shown(branch.id)).toEqual(['a applied', 'b applied', 'd applied', 'e applied', 'f revoked']);
  expect(await shown(origin.id)).toEqual(['a revoked', 'b revoked', 'c revoked', 'd revoked']);
});

it('branches off a branch, above and below the point where that began', async () => {
  const origin = await sampleStream(store, 'first');
  for (const subject of ['a', 'b']) await write(store, origin, [sampleEdit(subject, 'x')]);
  const second = await store.createBranch(origin.id, { name: 'second', seq: 2 });
  const [c] = (await write(store, second, [sampleEdit('c', 'x')])).edits;
  const third = await store.createBranch(second.id, { name: 'third', seq: 3 });
  const [d] = (await write(store, third, [sampleEdit('d', 'x'), sampleEdit('a', 'y')])).edits;
  const low = await store.createBranch(third.id, { name: 'low', seq: 1 });
  await write(store, low, [sampleEdit('e', 'x')]);
  expect(await shown(third.id)).toEqual(['a superseded', 'b applied', 'c applied', 'd applied', 'a applied']);
  expect(await shown(low.id)).toEqual(['a applied', 'e applied']);
  expect(await shown(second.id)).toEqual(['a applied', 'b applied', 'c applied']);
  await revoke(third, c.id, 'wrong');
  await revoke(third, d.id, 'wrong');
  expect(await shown(third.id)).toEqual(['a superseded', 'b applied', 'c revoked', 'd revoked', 'a applied']);
  expect(await shown(second.id)).toEqual(['a applied', 'b applied', 'c applied']);
  expect(await store.lineage(third.id, 7)).toMatchObject({ seqs: [1, 2, 3, 4, 5, 6, 7] });
  expect(await store.lineage(low.id, 2)).toMatchObject({ seqs: [1, 2] });
  for (const stream of [second, third, low])
    expect((await store.verifyLog(stream.id, (await store.getStream(stream.id)).head)).problems).toEqual([]);
  expect(await store.hashAt(low.id, 1)).toBe(await store.hashAt(origin.id, 1));
  expect(await store.hashAt(low.id, 2)).not.toBe(await store.hashAt(origin.id, 2));
  expect((await store.listBranches(origin.id)).map(({ name }) => name)).toEqual(['second']);
});

it('branches at the root, has the covariances, and is ready when the origin was', async () => {
  const origin = await sampleStream(store, 'unprepared');
  expect(await store.createBranch(origin.id, { name: 'waiting', seq: 0 })).toMatchObject({
    status: 'preparing',
    head: 0,
  });
  const run = { modelId: origin.modelId, layer: 3, corpusId: 'text', source: 'default', tokens: 1000, dimension: 2 };
  const covariance = await store.saveCovariance(run, sampleMatrix(2, 2, 1));
  await store.bindCovariance(origin.id, 3, covariance.id);
  const layers = [{ layer: 3, condition: 2, lambda: 1, requestedLambda: 1, precision: 'fp64' }];
  await store.finishPreparation(origin.id, layers);
  const branch = await store.createBranch(origin.id, { name: 'prepared', seq: 0 });
  expect(branch).toMatchObject({ status: 'ready', head: 0, headHash: origin.headHash });
  expect(await store.boundCovariance(branch.id, 3)).toEqual(covariance);
  await store.finishPreparation(branch.id, layers);
  expect((await store.listEvents(branch.id)).map(({ kind }) => kind)).toEqual(['created', 'prepared']);
  await write(store, branch, [sampleEdit('a', 'x')]);
  expect((await store.verifyLog(branch.id, 1)).problems).toEqual([]);
  const twin = await store.createBranch(branch.id, { name: 'twin', seq: 1 });
  expect((await store.listEvents(twin.id)).map(({ kind }) => kind)).toEqual(['created', 'prepared']);
});

it('makes one branch for one key, and refuses bad ones', async () => {
  const origin = await sampleStream(store, 'keyed');
  await write(store, origin, [sampleEdit('a', 'x')]);
  const key = { key: 'once', bodyHash: 'h' };
  const made = await store.createBranch(origin.id, { name: 'keyed branch', seq: 1 }, key);
  expect(await store.createBranch(origin.id, { name: 'keyed branch', seq: 1 }, key)).toEqual(made);
  const refused = (name: string, seq: number, id = origin.id) => expect(store.createBranch(id, { name, seq })).rejects;
  await refused('keyed branch', 1).toMatchObject({ code: 'NAME_TAKEN' });
  await refused('none', 2).toMatchObject({ code: 'UNKNOWN_POSITION', message: expect.stringContaining('future') });
  await refused('none', 1, 'str_none').toMatchObject({ code: 'UNKNOWN_STREAM' });
  await expect(sql(database.url, 'UPDATE streams SET origin_seq = 0 WHERE id = $1', [made.id])).rejects.toThrow(
    'stays where it branched off',
  );
});

it('pages through 10,000 inherited edits', async () => {
  const origin = await sampleStream(store, 'large');
  await sql(
    database.url,
    `INSERT INTO batches (stream_id, seq, parent_seq, kind, status, hash, committed_at)
     SELECT $1, n, n - 1, 'apply', 'committed', repeat('0', 64), now() FROM generate_series(1, 1000) n`,
    [origin.id],
  );
  await sql(
    database.url,
    `INSERT INTO edits (id, stream_id, ordinal, prompt, target, key_hash, target_hash, status, seq, "column")
     SELECT 'edt_' || lpad(n::text, 32, '0'), $1, n + 1, 'p', 't', n::text, 't', 'applied', n / 10 + 1, n % 10 FROM generate_series(0, 9999) n`,
    [origin.id],
  );
  await sql(
    database.url,
    `INSERT INTO batch_edits (stream_id, seq, "column", edit_id)
     SELECT $1, n / 10 + 1, n % 10, 'edt_' || lpad(n::text, 32, '0') FROM generate_series(0, 9999) n`,
    [origin.id],
  );
  await sql(
    database.url,
    `INSERT INTO log_entries (stream_id, seq, layer, row_start, row_end, sign, d_in, d_out, columns, epoch,
       previous_hash, hash, config_hash, stats, r_diagonal, tensor_hashes, tensors, rest)
     SELECT $1, 1000, layer, 0, 1, 1, 1, 1, 0, 1, repeat('0', 64), repeat('0', 64), '', '{}', '', decode(repeat('00', 32), 'hex'), '', '' FROM unnest(ARRAY[3, 5]) layer`,
    [origin.id],
  );
  await sql(database.url, 'UPDATE streams SET head = 1000, next_seq = 1001, next_ordinal = 10001 WHERE id = $1', [
    origin.id,
  ]);
  const branch = await store.createBranch(origin.id, { name: 'large branch', seq: 1000 });
  expect(branch.counts).toEqual({ applied: 10_000 });
  await write(store, branch, [sampleEdit('a', 'x')]);
  await revoke(branch, `edt_${'9999'.padStart(32, '0')}`, 'last');
  let after = 0;
  let seen = 0;
  for (let next: number | null = 0; next !== null; after = next ?? 0) {
    const page = await store.listEdits(branch.id, { after, limit: 1000 });
    seen += page.edits.length;
    next = page.next;
  }
  expect(seen).toBe(10_001);
  expect((await store.listEdits(branch.id, { status: 'revoked' })).edits.map(({ ordinal }) => ordinal)).toEqual([
    10_000,
  ]);
});

it('knows what is in the weights of a lineage with many gaps', async () => {
  const origin = await sampleStream(store, 'gaps');
  const kept: string[] = [];
  for (let i = 0; i < 10; i++) {
    const [edit] = (await write(store, origin, [sampleEdit(`kept ${i}`, 'x')])).edits;
    kept.push(edit.id);
    await write(store, origin, [sampleEdit(`left ${i}`, 'x')]);
    await store.rollback(origin.id, (await store.getStream(origin.id)).head - 1);
  }
  const { head: seq } = await store.getStream(origin.id);
  const branch = await store.createBranch(origin.id, { name: 'gaps of a branch', seq });
  await write(store, branch, [sampleEdit('kept 7', 'y')]);
  const [own] = (await store.activeEdits(branch.id)).filter(({ target }) => target === 'y');
  for (const [id, expected] of [
    [origin.id, kept],
    [branch.id, [...kept.filter((_, i) => i !== 7), own.id]],
  ] as const)
    expect((await store.activeEdits(id)).map((edit) => edit.id)).toEqual(expected);
  const { edits } = await store.listEdits(branch.id, { limit: 1000 });
  const byStatus = (status: string) => edits.filter((edit) => edit.status === status).length;
  expect([byStatus('applied'), byStatus('superseded'), byStatus('revoked')]).toEqual([10, 1, 0]);
  expect(edits.find(({ subject }) => subject === 'kept 7')).toMatchObject({ reason: `superseded by ${own.id}` });
});
