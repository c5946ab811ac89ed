import type { EditInput, EditSelection, Revocation, Stream } from '@errata/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store, type Work } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleEntry, sampleStream, write } from './testing/samples.js';

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

const work = (stream: Stream, held = false): Promise<Work> =>
  store.nextWork(stream.id, { limit: 256, at: new Date().toISOString(), held });

const revoke = async (stream: Stream, selection: EditSelection, more: { retarget?: boolean; reason?: string } = {}) => {
  const asked = { selection, reason: more.reason ?? null, retarget: more.retarget ?? false, verify: false };
  return (await store.createRevocation(stream.id, asked)).revocation;
};

/** Does what a stream's workflow does, until there is nothing left. */
async function carryOut(stream: Stream, held = false): Promise<Work[]> {
  const steps: Work[] = [];
  for (;;) {
    const step = await work(stream, held);
    if (step.batch === null && step.finishing === null) return steps;
    steps.push(step);
    if (step.batch) await finish(store, stream, step.batch);
    if (step.finishing) await store.finishRevocation(stream.id, step.finishing.revocationId, null);
  }
}

const shown = async (stream: Stream) =>
  (await store.listEdits(stream.id, { limit: 1000 })).edits.map((edit) => `${edit.subject} ${edit.status}`);
const named = (names: readonly string[], overrides: Partial<EditInput> = {}) =>
  names.map((name) => sampleEdit(name, 'x', overrides));
const found = (stream: Stream, { id }: Revocation) => store.getRevocation(stream.id, id);

it('takes out the edits that meet every condition, and rejects those that wait', async () => {
  const stream = await sampleStream(store, 'selections');
  const first = await write(store, stream, [
    sampleEdit('a', 'x', { source: 'wiki', tags: ['price'] }),
    sampleEdit('b', 'x', { source: 'wiki', tags: ['price', 'eu'] }),
    sampleEdit('c', 'x', { source: 'desk', tags: ['eu'] }),
  ]);
  const [{ committedAt }] = await store.listBatches(stream.id);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await write(store, stream, named(['d'], { source: 'wiki' }));
  await store.enqueueEdits(stream.id, named(['e'], { source: 'wiki', tags: ['eu'] }));
  const matches = async (selection: EditSelection) => {
    const { edits, revoked, withdrawn, later } = await store.previewRevocation(stream.id, selection);
    return [edits.map((edit) => edit.subject).join(''), revoked, withdrawn, later];
  };
  const after = new Date(Date.parse(committedAt ?? '') + 1).toISOString();
  expect(await matches({ sources: ['wiki'] })).toEqual(['abde', 3, 1, 0]);
  expect(await matches({ sources: ['wiki', 'desk'], tags: ['eu'] })).toEqual(['bce', 2, 1, 1]);
  expect(await matches({ tags: ['price'], edits: first.edits.slice(1).map(({ id }) => id) })).toEqual(['b', 1, 0, 1]);
  expect(await matches({ committed: { before: after } })).toEqual(['abc', 3, 0, 1]);
  expect(await matches({ committed: { from: after } })).toEqual(['d', 1, 0, 0]);
  expect(await matches({ created: { from: first.edits[0].createdAt } })).toEqual(['abcde', 4, 1, 0]);
  expect(await matches({ created: { from: '2999-01-01T00:00:00+02:00' } })).toEqual(['', 0, 0, 0]);

  const revocation = await revoke(stream, { sources: ['wiki'] }, { reason: 'the wiki was wrong' });
  const [step, end] = await carryOut(stream);
  expect(step.batch).toMatchObject({ kind: 'revoke', revocationId: revocation.id });
  expect(end).toMatchObject({ finishing: { revocationId: revocation.id, verify: false } });
  expect(await shown(stream)).toEqual(['a revoked', 'b revoked', 'c applied', 'd revoked', 'e rejected']);
  const { edits } = await store.listEdits(stream.id);
  expect([edits[0].reason, edits[4].reason]).toEqual([
    'the wiki was wrong',
    'revoked before it was written: the wiki was wrong',
  ]);
  const { head, headHash } = await store.getStream(stream.id);
  expect(await found(stream, revocation)).toMatchObject({
    status: 'done',
    head,
    hash: headHash,
    changed: 4,
    revoked: { done: 3, total: 3 },
    withdrawn: 1,
    retargeted: { done: 0, total: 0 },
    batches: [{ seq: 3, kind: 'revoke', edits: 3 }],
    failure: null,
  });
  const kinds = (await store.listEvents(stream.id)).map((event) => event.kind);
  expect(kinds).toEqual(['created', 'batch', 'batch', 'revoke', 'revocation']);
});

it('goes in batches of 256, each a step of the log, and goes on where it stopped', async () => {
  const stream = await sampleStream(store, 'large');
  const names = Array.from({ length: 600 }, (_, i) => `n${i}`);
  for (let from = 0; from < 600; from += 200)
    await write(store, stream, named(names.slice(from, from + 200), { source: 'bulk' }));
  const revocation = await revoke(stream, { sources: ['bulk'] });
  const first = await work(stream);
  // Whoever asks again, a worker started anew say, gets the same batch.
  expect(await work(stream)).toEqual(first);
  expect(first.batch?.edits).toHaveLength(256);
  await store.stageEntry(sampleEntry(stream, first.batch!, 3), 1);
  expect(await work(stream)).toEqual(first);
  await finish(store, stream, first.batch!);
  expect(await found(stream, revocation)).toMatchObject({ status: 'running', revoked: { done: 256, total: 600 } });
  expect((await carryOut(stream)).map((step) => step.batch?.edits.length ?? 0)).toEqual([256, 88, 0]);
  expect((await found(stream, revocation)).batches.map((batch) => batch.seq)).toEqual([4, 5, 6]);
  expect(await store.activeEdits(stream.id)).toEqual([]);
  expect((await store.verifyLog(stream.id, 6)).problems).toEqual([]);
});

it('reports the path and the least eigenvalue of every layer', async () => {
  const stream = await sampleStream(store, 'reported');
  const { edits } = await write(store, stream, named(['a']));
  const revocation = await revoke(stream, { edits: [edits[0].id] });
  const { batch } = await work(stream);
  for (const layer of [3, 5]) {
    const entry = sampleEntry(stream, batch!, layer);
    const stats = { lambdaMin: layer / 10_000, byInversion: layer === 3 ? 1 : 0 };
    await store.stageEntry({ ...entry, stats }, 1);
  }
  await store.commitBatch(stream.id, batch!.seq, { targets: 0, keys: 0, update: 0, total: 0 });
  const layers = [
    { layer: 3, path: 'inversion', lambdaMin: 3e-4 },
    { layer: 5, path: 'downdate', lambdaMin: 5e-4 },
  ];
  expect((await found(stream, revocation)).batches).toEqual([{ seq: 2, kind: 'revoke', edits: 1, layers }]);
  const event = (await store.listEvents(stream.id)).find(({ kind }) => kind === 'revoke');
  expect(event?.detail).toMatchObject({ revocation: revocation.id, layers });
  const deviation = [{ layer: 3, weightError: 1e-9, covarianceError: 1e-8 }];
  await store.finishRevocation(stream.id, revocation.id, deviation);
  await store.finishRevocation(stream.id, revocation.id, null);
  expect(await found(stream, revocation)).toMatchObject({ status: 'done', deviation });
});

it('writes later edits again under their ids, which a rollback undoes', async () => {
  const stream = await sampleStream(store, 'retarget');
  await write(store, stream, named(['early']));
  const { edits } = await write(store, stream, named(['wrong', 'beside']));
  await write(store, stream, named(['c', 'd']));
  await write(store, stream, [sampleEdit('e', 'x')]);
  await store.updateEdits(stream.id, [{ editId: (await store.activeEdits(stream.id))[3].id, status: 'verified' }]);
  const before = await store.activeEdits(stream.id);
  const revocation = await revoke(stream, { edits: [edits[0].id] }, { retarget: true });
  const steps = await carryOut(stream);
  expect(
    steps.map(({ batch }) => batch && [batch.seq, batch.kind, batch.edits.map((edit) => edit.subject).join('')]),
  ).toEqual([[5, 'revoke', 'wrong'], [7, 'apply', 'cde'], null]);
  expect(steps[1].batch?.supersedes?.columns).toEqual([
    { seq: 3, column: 0 },
    { seq: 3, column: 1 },
    { seq: 4, column: 0 },
  ]);
  expect(await found(stream, revocation)).toMatchObject({
    revoked: { done: 1, total: 1 },
    retargeted: { done: 3, total: 3 },
    changed: 1,
    head: 7,
    batches: [
      { seq: 5, kind: 'revoke' },
      { seq: 7, kind: 'retarget', edits: 3 },
    ],
  });
  const after = await store.activeEdits(stream.id);
  expect(after.map(({ subject, seq, column, reason }) => [subject, seq, column, reason])).toEqual([
    ['early', 1, 0, null],
    ['beside', 2, 1, null],
    ['c', 7, 0, null],
    ['d', 7, 1, null],
    ['e', 7, 2, null],
  ]);
  // What was in the weights at an earlier position is found there, at its place of then.
  const then = await store.activeEdits(stream.id, 4);
  expect(then.map(({ id, seq, column }) => [id, seq, column])).toEqual(
    before.map(({ id, seq, column }) => [id, seq, column]),
  );
  await store.rollback(stream.id, 4);
  expect((await store.activeEdits(stream.id)).map(({ id, status, seq }) => [id, seq, status === 'revoked'])).toEqual(
    before.map(({ id, seq }) => [id, seq, false]),
  );
  // Revoking one of them takes out the column of the lineage, not that of the branch left behind.
  await revoke(stream, { edits: [after[2].id] });
  expect((await carryOut(stream))[0].batch?.columns).toEqual([{ seq: 3, column: 0 }]);
  await store.rollback(stream.id, 7);
  expect(await store.activeEdits(stream.id)).toEqual(
    after.map((edit) => expect.objectContaining({ id: edit.id, seq: edit.seq, column: edit.column })),
  );
});

it('fails by name, and the stream goes on', async () => {
  const stream = await sampleStream(store, 'refused');
  const { edits } = await write(store, stream, named(['a', 'b']));
  const [a, b] = edits.map((edit) => edit.id);
  await store.enqueueEdits(stream.id, named(['c']));
  const waiting = (await store.listEdits(stream.id, { status: 'queued' })).edits[0].id;
  await expect(revoke(stream, { edits: [a, 'edt_0'] })).rejects.toMatchObject({
    code: 'UNKNOWN_EDIT',
    details: [{ field: 'edits[1]' }],
  });
  const [good, twice, queued] = [
    await revoke(stream, { edits: [a] }),
    await revoke(stream, { edits: [a, b] }),
    await revoke(stream, { edits: [waiting] }),
  ];
  await carryOut(stream);
  expect(await found(stream, good)).toMatchObject({ status: 'done', revoked: { done: 1 } });
  expect(await found(stream, twice)).toMatchObject({ status: 'failed', failure: { code: 'EDIT_NOT_REVOCABLE' } });
  expect(await found(stream, queued)).toMatchObject({ status: 'failed', failure: { code: 'EDIT_NOT_REVOCABLE' } });
  expect(await shown(stream)).toEqual(['a revoked', 'b applied', 'c applied']);

  const hard = await revoke(stream, { edits: [b] });
  await work(stream);
  const failure = { code: 'REVOKE_ILL_CONDITIONED', message: 'λ_min(T) is 1e-9' };
  await store.failRevocation(stream.id, hard.id, failure);
  expect(await store.failRevocation(stream.id, hard.id, { code: 'INTERNAL', message: '' })).toMatchObject({
    status: 'failed',
    failure,
  });
  expect(await carryOut(stream)).toEqual([]);
  expect(await shown(stream)).toEqual(['a revoked', 'b applied', 'c applied']);
});

it('is stored once for an idempotency key, and refuses it for another body', async () => {
  const stream = await sampleStream(store, 'keys');
  const { edits } = await write(store, stream, named(['a']));
  const asked = { selection: { edits: [edits[0].id] }, reason: null, retarget: false, verify: false };
  const key = { key: 'k', bodyHash: 'h' };
  const all = await Promise.all(Array.from({ length: 8 }, () => store.createRevocation(stream.id, asked, key)));
  expect(new Set(all.map(({ revocation }) => revocation.id)).size).toBe(1);
  expect(all.filter(({ replayed }) => !replayed)).toHaveLength(1);
  await carryOut(stream);
  const again = await store.createRevocation(stream.id, asked, key);
  expect(again).toMatchObject({ replayed: true, revocation: { status: 'done', revoked: { done: 1 } } });
  const other = store.createRevocation(stream.id, asked, { key: 'k', bodyHash: 'i' });
  await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
});

it('ends between two batches when it is cancelled, and at once when it has not begun', async () => {
  const stream = await sampleStream(store, 'cancelled');
  for (let from = 0; from < 300; from += 150)
    await write(
      store,
      stream,
      named(
        Array.from({ length: 150 }, (_, i) => `n${from + i}`),
        { source: 's' },
      ),
    );
  const running = await revoke(stream, { sources: ['s'] });
  const waiting = await revoke(stream, { tags: ['t'] });
  expect(await store.cancelRevocation(stream.id, waiting.id)).toMatchObject({ status: 'cancelled' });
  const { batch } = await work(stream);
  expect(await store.cancelRevocation(stream.id, running.id)).toMatchObject({ status: 'cancelling' });
  await finish(store, stream, batch!);
  expect(await carryOut(stream)).toEqual([]);
  expect(await store.cancelRevocation(stream.id, running.id)).toMatchObject({
    status: 'cancelled',
    revoked: { done: 256, total: 300 },
  });
  const rest = await revoke(stream, { sources: ['s'] });
  await carryOut(stream);
  await expect(store.cancelRevocation(stream.id, rest.id)).rejects.toMatchObject({ code: 'REVOCATION_ENDED' });
  await expect(store.getRevocation(stream.id, 'rev_0')).rejects.toMatchObject({ code: 'UNKNOWN_REVOCATION' });
});

it('goes on while a stream is held, gives up the batch left behind, and leaves the queue alone', async () => {
  const stream = await sampleStream(store, 'held');
  const { edits } = await write(store, stream, named(['a']));
  await store.enqueueEdits(stream.id, named(['b']));
  const left = await work(stream);
  expect(left.batch?.kind).toBe('apply');
  expect(await carryOut(stream, true)).toEqual([]);
  await revoke(stream, { edits: [edits[0].id] });
  expect((await carryOut(stream, true)).map(({ batch }) => batch?.kind)).toEqual(['revoke', undefined]);
  expect(await shown(stream)).toEqual(['a revoked', 'b queued']);
  expect((await carryOut(stream)).map(({ batch }) => batch?.kind)).toEqual(['apply']);
});

it('is cancelled by a rollback, and wakes its stream until it has ended', async () => {
  const stream = await sampleStream(store, 'rolled back');
  for (let from = 0; from < 300; from += 150)
    await write(
      store,
      stream,
      named(
        Array.from({ length: 150 }, (_, i) => `n${from + i}`),
        { source: 's' },
      ),
    );
  const revocation = await revoke(stream, { sources: ['s'] });
  expect(await store.listStreamsWithWork()).toContain(stream.id);
  await finish(store, stream, (await work(stream)).batch!);
  expect((await store.rollback(stream.id, 2)).editIds).toHaveLength(256);
  expect(await found(stream, revocation)).toMatchObject({ status: 'cancelled', head: 2 });
  expect(await carryOut(stream)).toEqual([]);
  expect(await store.activeEdits(stream.id)).toHaveLength(300);
  expect(await store.listStreamsWithWork()).not.toContain(stream.id);
});

it('a rollback with an idempotency key moves the head once', async () => {
  const stream = await sampleStream(store, 'rollback key');
  await write(store, stream, named(['a']));
  const key = { key: 'back', bodyHash: 'h' };
  expect(await store.rollbackAnswered(stream.id, key)).toBeNull();
  const moved = await store.rollback(stream.id, 0, key);
  await write(store, stream, named(['b']));
  expect(await store.rollback(stream.id, 0, key)).toEqual(moved);
  expect(await store.rollbackAnswered(stream.id, key)).toEqual(moved);
  expect((await store.getStream(stream.id)).head).toBe(2);
  const other = store.rollback(stream.id, 2, { key: 'back', bodyHash: 'i' });
  await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
});
