import type { GuardReading, Stream } from '@errata/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStore, type GuardOrder, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleStream, write } from './testing/samples.js';

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

const trip = (seq: number, over: Partial<GuardReading> = {}): GuardReading => ({
  budget: 'divergence',
  side: 'above',
  value: 2,
  limit: 0.25,
  action: 'rollback',
  seq,
  ...over,
});
const order = (seq: number, over: Partial<GuardOrder> = {}): GuardOrder => ({
  seq,
  action: 'quarantine',
  trips: [trip(seq)],
  to: null,
  pause: false,
  ...over,
});
const statuses = async (stream: Stream) => (await store.listEdits(stream.id)).edits.map(({ status }) => status);
const events = async (stream: Stream, kind: string) =>
  (await store.listEvents(stream.id)).filter((event) => event.kind === kind);

describe('a guard that acts', () => {
  it('takes the batch back with what it superseded, once, and says why', async () => {
    const stream = await sampleStream(store, 'quarantined');
    await store.setGuards(stream.id, { notify: 'ops' });
    const first = await write(store, stream, [sampleEdit('a', 'x'), sampleEdit('b', 'x')]);
    const second = await write(store, stream, [sampleEdit('a', 'harm'), sampleEdit('c', 'harm')]);
    expect(await statuses(stream)).toEqual(['superseded', 'applied', 'applied', 'applied']);
    await store.saveRound(stream.id, second.seq, { measured: [], results: {}, costs: {}, readings: [], seconds: 1 });
    const done = await store.carryOutGuard(stream.id, order(second.seq));
    expect(done).toMatchObject({ head: first.seq, quarantined: 2 });
    expect(await store.carryOutGuard(stream.id, order(second.seq))).toEqual(done);
    expect(await statuses(stream)).toEqual(['applied', 'applied', 'quarantined', 'quarantined']);
    expect((await store.listEdits(stream.id, { status: 'quarantined' })).edits[0].reason).toMatch(
      /guard after batch 3: divergence is 2, above 0.25/,
    );
    const [event, ...more] = await events(stream, 'guard');
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      seq: first.seq,
      detail: { batch: second.seq, action: 'quarantine', quarantined: 2 },
    });
    expect(event.detail.next).toMatch(/errata quarantine release/);
    expect(await store.getDelivery(done.delivery ?? '')).toMatchObject({
      receiver: 'ops',
      status: 'pending',
      payload: { type: 'guard', stream: { name: 'quarantined' }, batch: second.seq, head: first.seq },
    });
    expect((await store.listRounds(stream.id, 10)).map(({ seq, tripped, onHead }) => [seq, tripped, onHead])).toEqual([
      [second.seq, true, false],
    ]);
  });

  it('goes back over several batches, and leaves what a person had revoked alone', async () => {
    const stream = await sampleStream(store, 'rolled back');
    const good = await write(store, stream, [sampleEdit('a', 'x')]);
    const batch = await write(store, stream, [sampleEdit('b', 'x'), sampleEdit('c', 'x')]);
    const revoke = await store.claimRevoke(stream.id, [batch.edits[0].id], 'wrong');
    await finish(store, stream, revoke);
    const last = await write(store, stream, [sampleEdit('d', 'x')]);
    const done = await store.carryOutGuard(
      stream.id,
      order(last.seq, { action: 'rollback', to: good.seq, pause: true }),
    );
    expect(done).toMatchObject({ head: good.seq, quarantined: 2, delivery: null });
    expect(await statuses(stream)).toEqual(['applied', 'revoked', 'quarantined', 'quarantined']);
    expect(await store.getStream(stream.id)).toMatchObject({ status: 'paused', head: good.seq });
    // Further moves of the head leave the quarantine as it is, until the lineage holds the edits again.
    await store.rollback(stream.id, 0);
    expect(await statuses(stream)).toEqual(['revoked', 'revoked', 'quarantined', 'quarantined']);
    await store.rollback(stream.id, last.seq);
    expect(await statuses(stream)).toEqual(['applied', 'revoked', 'applied', 'applied']);
  });

  it('only warns, and leaves the head alone where it has been moved since', async () => {
    const stream = await sampleStream(store, 'warned');
    const first = await write(store, stream, [sampleEdit('a', 'x')]);
    const second = await write(store, stream, [sampleEdit('b', 'x')]);
    expect(await store.carryOutGuard(stream.id, order(first.seq, { action: 'warn' }))).toMatchObject({ head: 2 });
    await store.rollback(stream.id, 0);
    expect(await store.carryOutGuard(stream.id, order(second.seq))).toMatchObject({ head: 0, quarantined: 0 });
    expect(await statuses(stream)).toEqual(['revoked', 'revoked']);
  });
});

describe('quarantine', () => {
  it('lets edits out: to be written again, or never', async () => {
    const stream = await sampleStream(store, 'released');
    const { seq } = await write(store, stream, [sampleEdit('a', 'x'), sampleEdit('b', 'x'), sampleEdit('c', 'x')]);
    await store.carryOutGuard(stream.id, order(seq));
    const [a, b] = (await store.listEdits(stream.id)).edits;
    expect(await store.settleQuarantine(stream.id, 'reject', { editIds: [b.id], reason: 'wrong' })).toEqual([b.id]);
    await expect(store.settleQuarantine(stream.id, 'release', { editIds: [b.id] })).rejects.toMatchObject({
      code: 'EDIT_NOT_QUARANTINED',
    });
    await expect(store.settleQuarantine(stream.id, 'release', { editIds: ['edt_no'] })).rejects.toMatchObject({
      code: 'UNKNOWN_EDIT',
    });
    expect(await store.settleQuarantine(stream.id, 'release', {})).toHaveLength(2);
    expect(await statuses(stream)).toEqual(['queued', 'rejected', 'queued']);
    expect((await store.getEdit(stream.id, b.id)).reason).toMatch(/^rejected out of quarantine: wrong: guard after/);
    const again = await store.claimBatch(stream.id, 8);
    expect(again?.edits[0].id).toBe(a.id);
    if (again) await finish(store, stream, again);
    expect(await statuses(stream)).toEqual(['applied', 'rejected', 'applied']);
    expect((await events(stream, 'quarantine')).map(({ detail }) => [detail.what, detail.edits])).toEqual([
      ['reject', 1],
      ['release', 2],
    ]);
  });

  it('of edits that are queued again, and whose batch a person goes forward to, leaves none in the queue', async () => {
    const stream = await sampleStream(store, 'forward');
    const { seq } = await write(store, stream, [sampleEdit('a', 'x')]);
    await store.carryOutGuard(stream.id, order(seq));
    await store.settleQuarantine(stream.id, 'release', {});
    await store.rollback(stream.id, seq);
    expect(await statuses(stream)).toEqual(['applied']);
    expect(await store.claimBatch(stream.id, 8)).toBeNull();
  });
});

describe('notifications', () => {
  it('that have ended are removed after the retention, those under way stay', async () => {
    const stream = await sampleStream(store, 'notified');
    await store.setGuards(stream.id, { notify: 'ops' });
    const ids: string[] = [];
    for (const subject of ['a', 'b', 'c']) {
      const { seq } = await write(store, stream, [sampleEdit(subject, 'x')]);
      ids.push((await store.carryOutGuard(stream.id, { ...order(seq), action: 'warn', to: null })).delivery ?? '');
    }
    await store.updateDelivery(ids[0], { status: 'delivered', attempts: 1, detail: null });
    await store.updateDelivery(ids[1], { status: 'failed', attempts: 150, detail: 'away' });
    await store.updateDelivery(ids[2], { status: 'pending', attempts: 2, detail: 'away' });
    const collect = (keepMs: number, dryRun = false) => store.collectGarbage({ keepMs, dryRun, streamId: stream.id });
    expect(await collect(60_000)).toMatchObject({ deliveries: 0 });
    expect(await collect(-1000, true)).toMatchObject({ deliveries: 2 });
    expect(await collect(-1000)).toMatchObject({ deliveries: 2 });
    expect(await store.getDelivery(ids[2])).toMatchObject({ status: 'pending' });
    await expect(store.getDelivery(ids[0])).rejects.toThrow();
    const events = await store.listEvents(stream.id);
    expect(events.filter(({ kind }) => kind === 'guard')).toHaveLength(3);
  });
});

describe('settings and canaries', () => {
  it('are the defaults, then what was set; of a branch, those of its origin', async () => {
    const stream = await sampleStream(store, 'settings');
    expect((await store.getGuards(stream.id)).budgets.retention).toEqual({ limit: 0.9, action: 'warn' });
    await store.setGuards(stream.id, { budgets: { retention: { action: 'pause' } }, probes: { every: 3 } });
    const branch = await store.createBranch(stream.id, { name: 'settings branch', seq: 0 });
    const found = await store.getGuards(branch.id);
    expect(found.budgets.retention).toEqual({ limit: 0.9, action: 'pause' });
    expect(found.probes).toMatchObject({ every: 3, costShare: 0.1 });
    await store.setGuards(branch.id, { budgets: { retention: { limit: 0.5 } } });
    expect((await store.getGuards(branch.id)).budgets.retention).toEqual({ limit: 0.5, action: 'pause' });
    expect((await store.getGuards(stream.id)).budgets.retention.limit).toBe(0.9);
    await expect(store.getGuards('str_no')).rejects.toMatchObject({ code: 'UNKNOWN_STREAM' });
  });

  it('of a branch begin as the origin’s were at its position, and go their own way', async () => {
    const stream = await sampleStream(store, 'canary origin');
    const first = await write(store, stream, [sampleEdit('a', 'x')]);
    const second = await write(store, stream, [sampleEdit('b', 'x')]);
    for (const name of ['early', 'late'])
      await store.addCanary(stream.id, { name, prompt: `${name}?`, expected: 'yes' });
    const found = (name: string, holds: boolean) => ({ name, baseHolds: false, holds });
    await store.settleCanaries(stream.id, first.seq, [found('early', true), found('late', false)]);
    await store.settleCanaries(stream.id, second.seq, [found('late', true)]);
    const branch = await store.createBranch(stream.id, { name: 'canary branch', seq: first.seq });
    expect(await store.listCanaries(branch.id)).toMatchObject([
      { name: 'early', prompt: 'early?', baseHolds: false, holds: true, seq: first.seq, heldSeq: first.seq },
      { name: 'late', prompt: 'late?', baseHolds: false, holds: null, seq: null, heldSeq: null },
    ]);
    await store.removeCanary(branch.id, 'early');
    expect((await store.listCanaries(stream.id)).map(({ name }) => name)).toEqual(['early', 'late']);
    const twig = await store.createBranch(branch.id, { name: 'canary twig', seq: first.seq });
    expect((await store.listCanaries(twig.id)).map(({ name }) => name)).toEqual(['late']);
  });

  it('are kept by name', async () => {
    const stream = await sampleStream(store, 'canaries');
    const canary = { name: 'paris', prompt: 'The capital of France is', expected: 'Paris' };
    const made = await store.addCanary(stream.id, canary);
    expect(await store.addCanary(stream.id, canary)).toEqual(made);
    await expect(store.addCanary(stream.id, { ...canary, expected: 'Lyon' })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
    });
    await store.settleCanaries(stream.id, 4, [{ name: 'paris', baseHolds: true, holds: true }]);
    await store.settleCanaries(stream.id, 5, [{ name: 'paris', baseHolds: true, holds: false }]);
    expect(await store.listCanaries(stream.id)).toMatchObject([{ holds: false, seq: 5, heldSeq: 4, baseHolds: true }]);
    await store.removeCanary(stream.id, 'paris');
    await expect(store.removeCanary(stream.id, 'paris')).rejects.toMatchObject({ code: 'UNKNOWN_CANARY' });
  });
});

describe('rounds', () => {
  it('add up their cost, carry the newest results along the lineage and are written once', async () => {
    const stream = await sampleStream(store, 'rounds');
    const first = await write(store, stream, [sampleEdit('a', 'x')]);
    expect(await store.probeLedger(stream.id, first.seq)).toMatchObject({
      editSeconds: 3,
      probeSeconds: 0,
      results: {},
      sinceRound: Number.POSITIVE_INFINITY,
    });
    const ability = { seq: first.seq, asked: 20, held: 18 };
    const round = { measured: ['ability' as const], results: { ability }, costs: { ability: 0.5 }, seconds: 0.75 };
    const readings = [trip(first.seq)];
    await store.saveRound(stream.id, first.seq, { ...round, readings });
    expect(await store.saveRound(stream.id, first.seq, { ...round, readings: [], seconds: 9 })).toEqual(readings);
    const second = await write(store, stream, [sampleEdit('b', 'x'), sampleEdit('c', 'x')]);
    expect(await store.probeLedger(stream.id, second.seq)).toMatchObject({
      editSeconds: 6,
      probeSeconds: 0.75,
      results: { ability },
      costs: { ability: 0.5 },
      sinceRound: 1,
    });
    await store.saveRound(stream.id, second.seq, { ...round, results: { ability }, readings: [], seconds: 0.15 });
    expect(await store.listRounds(stream.id, 10)).toMatchObject([
      { seq: first.seq, edits: 1, costShare: 0.25 },
      { seq: second.seq, edits: 3, costShare: 0.15 },
    ]);
    const figures = (await store.probeFigures()).find(({ streamId }) => streamId === stream.id);
    expect(figures).toMatchObject({ seq: second.seq, results: { ability }, costShare: 0.15, quarantined: 0 });
  });

  it('draw the same verified edits of every age again and again', async () => {
    const stream = await sampleStream(store, 'sampled');
    const edits = [];
    for (let i = 0; i < 14; i++) {
      const { edits: written } = await write(store, stream, [sampleEdit(`s${i}`, 'x'), sampleEdit(`t${i}`, 'x')]);
      edits.push(...written);
    }
    await store.updateEdits(
      stream.id,
      edits.slice(0, -1).map(({ id }) => ({ editId: id, status: 'verified' as const })),
    );
    const drawn = await store.sampleEdits(stream.id, 14, 6);
    expect(drawn).toHaveLength(6);
    expect(await store.sampleEdits(stream.id, 14, 6)).toEqual(drawn);
    expect(drawn.map(({ age }) => age).sort()).toEqual(['0-9', '0-9', '0-9', '10-99', '10-99', '10-99']);
    expect(await store.sampleEdits(stream.id, 14, 100)).toHaveLength(26);
    const branch = await store.createBranch(stream.id, { name: 'sampled branch', seq: 12 });
    expect(await store.sampleEdits(branch.id, 12, 100)).toHaveLength(22);
  });
});
