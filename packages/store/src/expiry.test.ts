import type { Stream } from '@errata/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleStream, sql, write } from './testing/samples.js';

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

const soon = '2999-01-01T00:00:00.000Z';
const later = '2999-06-01T00:00:00.000Z';

/** Does what a stream's workflow does at a time, until there is nothing left. */
async function carryOut(stream: Stream, at: string): Promise<number[]> {
  const batches: number[] = [];
  for (;;) {
    const { batch, finishing } = await store.nextWork(stream.id, { limit: 8, at, held: false });
    if (batch === null && finishing === null) return batches;
    if (batch) await finish(store, stream, batch);
    if (batch) batches.push(batch.edits.length);
    if (finishing) await store.finishRevocation(stream.id, finishing.revocationId, null);
  }
}

const nextExpiry = async (stream: Stream, at: string) =>
  (await store.nextWork(stream.id, { limit: 8, at, held: true })).nextExpiry;
const shown = async (stream: Stream) =>
  (await store.listEdits(stream.id)).edits.map((edit) => `${edit.subject} ${edit.status}`);

it('takes expired edits out in one batch, once, and never writes one that has waited too long', async () => {
  const stream = await sampleStream(store, 'expiry');
  await write(store, stream, [
    sampleEdit('a', 'x', { expiresAt: soon }),
    sampleEdit('b', 'x', { expiresAt: '2999-01-01T01:00:00+01:00' }),
    sampleEdit('c', 'x', { expiresAt: later }),
    sampleEdit('d', 'x'),
  ]);
  await store.enqueueEdits(stream.id, [sampleEdit('e', 'x', { expiresAt: soon })]);
  expect(await nextExpiry(stream, '2998-01-01T00:00:00Z')).toBe(soon);
  expect(await nextExpiry(stream, soon)).toBe(later);
  expect(await carryOut(stream, soon)).toEqual([2]);
  expect(await carryOut(stream, soon)).toEqual([]);
  expect(await shown(stream)).toEqual(['a revoked', 'b revoked', 'c applied', 'd applied', 'e rejected']);
  const { edits } = await store.listEdits(stream.id);
  expect([edits[0].reason, edits[4].reason]).toEqual(['expired', `expired at ${soon}, before it was written`]);
  expect(await store.listRevocations(stream.id)).toMatchObject([
    { cause: 'expiry', status: 'done', revoked: { done: 2, total: 2 } },
  ]);

  // A rollback to before it brings them back only until the stream looks again.
  await store.rollback(stream.id, 1);
  expect((await shown(stream))[0]).toBe('a applied');
  expect(await carryOut(stream, soon)).toEqual([2]);
  // Unless their expiry is cleared first.
  for (const edit of edits.slice(0, 2)) await store.setExpiry(stream.id, edit.id, null);
  await store.rollback(stream.id, 1);
  expect(await carryOut(stream, soon)).toEqual([]);
  expect((await shown(stream)).slice(0, 2)).toEqual(['a applied', 'b applied']);
});

it('leaves alone what was superseded or revoked before', async () => {
  const stream = await sampleStream(store, 'expiry skipped');
  const { edits } = await write(
    store,
    stream,
    ['a', 'b', 'c'].map((name) => sampleEdit(name, 'x', { expiresAt: soon })),
  );
  await write(store, stream, [sampleEdit('a', 'y')]);
  await finish(store, stream, await store.claimRevoke(stream.id, [edits[1].id], 'wrong'));
  expect(await carryOut(stream, soon)).toEqual([1]);
  expect(await shown(stream)).toEqual(['a superseded', 'b revoked', 'c revoked', 'a applied']);
  expect((await store.getEdit(stream.id, edits[1].id)).reason).toBe('wrong');
});

it('is refused in the past, and says which edit stays as it is', async () => {
  const stream = await sampleStream(store, 'expiry refused');
  const past = store.enqueueEdits(stream.id, [
    sampleEdit('a', 'x'),
    sampleEdit('b', 'x', { expiresAt: '2020-01-01T00:00:00Z' }),
  ]);
  await expect(past).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
    details: [{ field: 'edits[1].expiresAt' }],
  });
  expect((await store.listEdits(stream.id)).edits).toEqual([]);
  const { edits } = await write(store, stream, [sampleEdit('a', 'x')]);
  const again = await store.enqueueEdits(stream.id, [sampleEdit('a', 'x', { expiresAt: soon })]);
  expect(again.edits[0]).toMatchObject({
    status: 'rejected',
    reason: expect.stringContaining('change that with PATCH'),
  });
  const id = edits[0].id;
  await expect(store.setExpiry(stream.id, id, '2020-01-01T00:00:00Z')).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  });
  await expect(store.setExpiry(stream.id, again.edits[0].id, soon)).rejects.toMatchObject({
    code: 'EDIT_NOT_REVOCABLE',
  });
  await expect(store.setExpiry(stream.id, 'edt_0', soon)).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
  expect(await store.setExpiry(stream.id, id, soon)).toMatchObject({ edit: { expiresAt: soon }, streams: [stream.id] });
});

it('in a branch takes out what it has from its origin, and there alone', async () => {
  const origin = await sampleStream(store, 'expiry origin');
  const { edits } = await write(store, origin, [
    sampleEdit('a', 'x', { expiresAt: soon, source: 'wiki' }),
    sampleEdit('b', 'x', { source: 'wiki' }),
    sampleEdit('c', 'x'),
  ]);
  const branch = await store.createBranch(origin.id, { name: 'expiry branch', seq: 1 });
  await store.setStreamStatus(branch.id, 'ready');
  expect(await nextExpiry(branch, '2998-01-01T00:00:00Z')).toBe(soon);
  expect(await carryOut(branch, soon)).toEqual([1]);
  expect(await shown(branch)).toEqual(['a revoked', 'b applied', 'c applied']);
  expect(await shown(origin)).toEqual(['a applied', 'b applied', 'c applied']);
  await expect(store.setExpiry(branch.id, edits[1].id, soon)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  expect((await store.setExpiry(origin.id, edits[0].id, later)).streams).toEqual([origin.id, branch.id]);

  // Selections and retargeting see inherited edits too.
  expect(await store.previewRevocation(branch.id, { sources: ['wiki'] })).toMatchObject({ revoked: 1 });
  await write(store, branch, [sampleEdit('d', 'x')]);
  const asked = { selection: { edits: [edits[1].id] }, reason: null, retarget: true, verify: false };
  await store.createRevocation(branch.id, asked);
  expect(await carryOut(branch, soon)).toEqual([1, 1]);
  expect(await shown(branch)).toEqual(['a revoked', 'b revoked', 'c applied', 'd applied']);
  await store.createRevocation(origin.id, { ...asked, selection: { edits: [edits[0].id] } });
  expect(await carryOut(origin, '2998-01-01T00:00:00Z')).toEqual([1]);
  expect(await shown(branch)).toEqual(['a revoked', 'b revoked', 'c applied', 'd applied']);
});

it('has the sweep find branches whose inherited edits have expired, until they are out', async () => {
  const origin = await sampleStream(store, 'swept');
  const { edits } = await write(store, origin, [
    sampleEdit('a', 'x', { expiresAt: soon }),
    sampleEdit('b', 'x', { expiresAt: soon }),
    sampleEdit('c', 'x'),
  ]);
  // Before the second branch leaves, one of them is taken out.
  const first = await store.createBranch(origin.id, { name: 'swept first', seq: 1 });
  const asked = { selection: { edits: [edits[0].id] }, reason: null, retarget: false, verify: false };
  await store.createRevocation(origin.id, asked);
  await carryOut(origin, '2998-01-01T00:00:00Z');
  const second = await store.createBranch(origin.id, { name: 'swept second', seq: 2 });
  const nested = await store.createBranch(second.id, { name: 'swept nested', seq: 2 });
  const before = await store.createBranch(origin.id, { name: 'swept before', seq: 0 });
  const branches = [first, second, nested, before];
  for (const { id } of branches) await store.setStreamStatus(id, 'ready');
  const swept = async () => {
    const found = await store.listStreamsWithWork();
    return branches.filter(({ id }) => found.includes(id)).map(({ name }) => name);
  };
  expect(await swept()).toEqual([]);
  await sql(
    database.url,
    `UPDATE edits SET expires_at = now() - interval '1 second' WHERE stream_id = '${origin.id}' AND expires_at IS NOT NULL`,
  );
  expect(await swept()).toEqual(['swept first', 'swept second', 'swept nested']);
  const now = new Date().toISOString();
  expect(await carryOut(first, now)).toEqual([2]);
  expect(await carryOut(nested, now)).toEqual([1]);
  await carryOut(origin, now);
  expect(await swept()).toEqual(['swept second']);
  await store.setStreamStatus(second.id, 'paused');
  expect(await swept()).toEqual([]);
  await store.setStreamStatus(second.id, 'ready');
  expect(await carryOut(second, now)).toEqual([1]);
  expect(await swept()).toEqual([]);
});

it('tells what became of an edit, step by step', async () => {
  const stream = await sampleStream(store, 'told');
  const { edits } = await write(store, stream, [sampleEdit('a', 'x'), sampleEdit('b', 'x')]);
  const [a, b] = edits.map((edit) => edit.id);
  const next = await write(store, stream, [sampleEdit('b', 'y')]);
  await store.rollback(stream.id, 1);
  await store.setExpiry(stream.id, b, later);
  const asked = { selection: { edits: [a] }, reason: 'wrong', retarget: false, verify: false };
  const { revocation } = await store.createRevocation(stream.id, asked);
  await carryOut(stream, '2998-01-01T00:00:00Z');
  const told = async (id: string) =>
    (await store.editHistory(stream.id, id)).steps.map(({ at, ...step }) => {
      expect(at === null || !Number.isNaN(Date.parse(at))).toBe(true);
      return step;
    });
  expect(await told(a)).toEqual([
    { kind: 'queued' },
    { kind: 'applied', seq: 1, column: 0 },
    { kind: 'revoked', seq: 4, reason: 'wrong', revocation: revocation.id },
  ]);
  expect(await told(b)).toEqual([
    { kind: 'queued' },
    { kind: 'applied', seq: 1, column: 1 },
    { kind: 'superseded', seq: 2, by: next.edits[0].id },
    { kind: 'restored', seq: 1 },
    { kind: 'expiry-set', expiresAt: later },
  ]);
  expect(await told(next.edits[0].id)).toEqual([
    { kind: 'queued' },
    { kind: 'applied', seq: 3, column: 0 },
    { kind: 'rolled-back', seq: 1 },
  ]);
  await expect(store.editHistory(stream.id, 'edt_0')).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
});
