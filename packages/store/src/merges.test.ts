import type { Stream } from '@errata/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import {
  finish,
  sampleEdit,
  sampleEntry,
  sampleMatrix,
  sampleModel,
  sampleStream,
  sql,
  write,
} from './testing/samples.js';

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

const ask = { conflicts: 'fail', revocations: false, dryRun: false } as const;
const live = async ({ id }: Stream) =>
  (await store.activeEdits(id)).map(({ subject, target }) => `${subject}=${target}`).sort();

async function revoke(stream: Stream, editId: string): Promise<void> {
  await finish(store, stream, await store.claimRevoke(stream.id, [editId], null));
}

/** Carries what is queued to its commit. */
async function settle(stream: Stream): Promise<void> {
  const batch = await store.claimBatch(stream.id, 256);
  if (batch) await finish(store, stream, batch);
}

it('writes what a branch wrote here again, once, and revokes on request', async () => {
  const main = await sampleStream(store, 'main');
  const [a, b] = (await write(store, main, [sampleEdit('a', 'x'), sampleEdit('b', 'x'), sampleEdit('c', 'x')])).edits;
  const trial = await store.createBranch(main.id, { name: 'trial', seq: 1 });
  const made = await write(store, trial, [
    sampleEdit('b', 'y', { importance: 2, tags: ['t'], paraphrases: ['p'], source: 's' }),
    sampleEdit('d', 'x'),
  ]);
  await revoke(trial, a.id);
  await write(store, main, [sampleEdit('e', 'x')]);

  const preview = await store.mergeStream(main.id, trial.id, { ...ask, revocations: true, dryRun: true });
  expect(preview).toMatchObject({ conflicts: [], queued: [], present: 0, common: { streamId: main.id, seq: 1 } });
  expect(preview.edits.map(({ id }) => id)).toEqual(made.edits.map(({ id }) => id));
  expect(preview.revocations.map(({ id }) => id)).toEqual([a.id]);
  expect((await store.getStream(main.id)).counts).toEqual({ applied: 4 });

  const merged = await store.mergeStream(main.id, trial.id, { ...ask, revocations: true });
  expect(merged.queued).toMatchObject([
    {
      status: 'queued',
      target: 'y',
      importance: 2,
      tags: ['t'],
      paraphrases: ['p'],
      source: 's',
      mergedFrom: made.edits[0].id,
    },
    { status: 'queued', mergedFrom: made.edits[1].id },
  ]);
  expect(await store.mergeStream(main.id, trial.id, ask)).toMatchObject({ queued: [], present: 2 });
  await settle(main);
  await revoke(main, a.id);
  expect(await live(main)).toEqual(['b=y', 'c=x', 'd=x', 'e=x']);
  expect(await store.getEdit(main.id, b.id)).toMatchObject({ status: 'superseded' });
  expect(await store.mergeStream(main.id, trial.id, { ...ask, revocations: true })).toMatchObject({
    queued: [],
    revocations: [],
    present: 2,
  });
  const events = (await store.listEvents(main.id)).filter(({ kind }) => kind === 'merge');
  expect(events.map(({ detail }) => [detail.from, detail.edits])).toEqual([[trial.id, 2]]);

  const back = await store.mergeStream(trial.id, main.id, ask);
  expect([back.edits.map(({ subject }) => subject), back.present, back.conflicts]).toEqual([['e'], 2, []]);
  await store.rollback(main.id, 2);
  expect((await store.mergeStream(main.id, trial.id, ask)).queued.map(({ subject }) => subject)).toEqual(['b', 'd']);
});

it('lists what both sides changed, and does as the strategy says', async () => {
  const main = await sampleStream(store, 'contested');
  const [a, , c] = (
    await write(
      store,
      main,
      ['a', 'b', 'c', 'd'].map((subject) => sampleEdit(subject, 'x')),
    )
  ).edits;
  const trial = await store.createBranch(main.id, { name: 'contesting', seq: 1 });
  await write(store, trial, [sampleEdit('a', 'there'), sampleEdit('b', 'there'), sampleEdit('d', 'same')]);
  await revoke(trial, c.id);
  await write(store, main, [sampleEdit('b', 'here'), sampleEdit('c', 'here'), sampleEdit('d', 'same')]);
  await revoke(main, a.id);

  const plan = await store.mergeStream(main.id, trial.id, { ...ask, revocations: true, dryRun: true });
  expect(plan.conflicts.map(({ kind, ours, theirs }) => [kind, ours.subject, ours.target, theirs.target])).toEqual([
    ['revoked-here', 'a', 'x', 'there'],
    ['target', 'b', 'here', 'there'],
    ['revoked-there', 'c', 'here', 'x'],
  ]);
  expect([plan.edits, plan.revocations, plan.present]).toEqual([[], [], 1]);
  await expect(store.mergeStream(main.id, trial.id, { ...ask, revocations: true })).rejects.toMatchObject({
    code: 'MERGE_CONFLICT',
    details: [{}, {}, {}],
  });
  expect(await store.mergeStream(main.id, trial.id, { ...ask, conflicts: 'ours' })).toMatchObject({ queued: [] });
  const theirs = await store.mergeStream(main.id, trial.id, { ...ask, conflicts: 'theirs', revocations: true });
  expect(theirs.queued.map(({ subject }) => subject)).toEqual(['a', 'b']);
  expect(theirs.revocations.map(({ subject, target }) => [subject, target])).toEqual([['c', 'here']]);
  await settle(main);
  expect(await live(main)).toEqual(['a=there', 'b=there', 'c=here', 'd=same']);
  await write(store, trial, [sampleEdit('b', 'later')]);
  const again = await store.mergeStream(main.id, trial.id, ask);
  expect([again.conflicts, again.queued.map(({ target }) => target)]).toEqual([[], ['later']]);
});

it('compares positions of related and of unrelated streams', async () => {
  const one = await sampleStream(store, 'one');
  await write(store, one, [sampleEdit('a', 'x'), sampleEdit('b', 'x')]);
  const two = await store.createBranch(one.id, { name: 'two', seq: 1 });
  await write(store, one, [sampleEdit('c', 'x')]);
  await write(store, two, [sampleEdit('b', 'y'), sampleEdit('d', 'x')]);
  const ends = [
    { streamId: one.id, seq: 2 },
    { streamId: two.id, seq: 3 },
  ] as const;
  expect(await store.commonPosition(...ends)).toEqual({
    streamId: one.id,
    seq: 1,
    hash: await store.hashAt(one.id, 1),
  });
  expect(await store.diffEdits(...ends)).toMatchObject({
    added: [{ subject: 'd' }],
    removed: [{ subject: 'c' }],
    changed: [{ from: { subject: 'b', target: 'x' }, to: { target: 'y' } }],
    kept: 1,
  });
  expect(await store.diffEdits(ends[0], { streamId: one.id, seq: 0 })).toMatchObject({ added: [], kept: 0 });
  const other = await sampleStream(store, 'stranger');
  await write(store, other, [sampleEdit('a', 'x')]);
  expect(await store.commonPosition(ends[0], { streamId: other.id, seq: 1 })).toBeNull();
  expect(await store.diffEdits(ends[0], { streamId: other.id, seq: 1 })).toMatchObject({ added: [], kept: 1 });
  const merged = await store.mergeStream(other.id, one.id, ask);
  expect([merged.common, merged.queued.map(({ subject }) => subject), merged.present]).toEqual([null, ['b', 'c'], 1]);
  await store.registerModel({ ...sampleModel, id: 'sha256:other', name: 'other' });
  const elsewhere = await store.createStream({ name: 'elsewhere', modelId: 'sha256:other', config: one.config });
  for (const id of [one.id, elsewhere.id])
    await expect(store.mergeStream(one.id, id, ask)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
});

it('leaves out what has expired meanwhile, by name', async () => {
  const main = await sampleStream(store, 'expiring-main');
  const trial = await store.createBranch(main.id, { name: 'expiring-trial', seq: 0 });
  const soon = new Date(Date.now() + 60_000).toISOString();
  const { edits } = await write(store, trial, [sampleEdit('a', 'x', { expiresAt: soon }), sampleEdit('b', 'x')]);
  await sql(database.url, `UPDATE edits SET expires_at = now() - interval '1 second' WHERE id = '${edits[0].id}'`);
  const merged = await store.mergeStream(main.id, trial.id, ask);
  expect(merged.skipped).toMatchObject([{ edit: { id: edits[0].id }, reason: 'expired' }]);
  expect(merged.queued).toMatchObject([{ mergedFrom: edits[1].id }]);
  expect((await store.listEvents(main.id)).at(-1)).toMatchObject({ kind: 'merge', detail: { edits: 1, skipped: 1 } });
});

it('leaves out the adapter that the other stream begins with', async () => {
  const main = await sampleStream(store, 'plain');
  const factors = {
    g: sampleMatrix(sampleModel.intermediateSize, 1, 1),
    b: sampleMatrix(sampleModel.hiddenSize, 1, 2),
  };
  const adapter = { name: 'a', modelId: sampleModel.id, own: false, origin: null, layers: [{ layer: 3, ...factors }] };
  const { id } = await store.addAdapter(adapter);
  const begun = await store.createStream({ name: 'begun', modelId: main.modelId, config: main.config, adapter: id });
  const batch = await store.claimBatch(begun.id, 8);
  if (!batch) throw new Error('nothing was claimed');
  const keys = { rows: sampleModel.intermediateSize, columns: 0, data: new Float32Array(0) };
  for (const layer of main.config.layers) await store.stageEntry({ ...sampleEntry(begun, batch, layer), keys }, 1);
  await store.commitBatch(begun.id, batch.seq, { targets: 0, keys: 0, update: 0, total: 0 });
  const merged = await store.mergeStream(main.id, begun.id, ask);
  expect(merged).toMatchObject({ queued: [], conflicts: [], skipped: [{ reason: 'adapter' }] });
});
