import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleConfig, sampleEdit, sampleModel, sampleStream, write } from './testing/samples.js';

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

describe('a batch from claim to commit', () => {
  it('is claimed once, staged, committed, read and verified', async () => {
    const stream = await sampleStream(store, 'first');
    expect(stream).toMatchObject({ head: 0, status: 'preparing', modelName: 'sample', counts: {} });
    await store.enqueueEdits(stream.id, [sampleEdit('Oslo', 'Norway'), sampleEdit('Rome', 'Italy')]);
    expect(await store.listStreamsWithWork()).toContain(stream.id);
    const batch = await store.claimBatch(stream.id, 8);
    expect(batch).toMatchObject({ seq: 1, parentSeq: 0, kind: 'apply', columns: [], supersedes: null });
    expect(await store.claimBatch(stream.id, 1)).toEqual(batch);
    expect(await store.getClaimedBatch(stream.id, 1)).toEqual(batch);
    if (!batch) return;
    const done = await finish(store, stream, batch);
    expect(done.head).toBe(1);
    expect(await store.commitBatch(stream.id, 1, { targets: 0, keys: 0, update: 0, total: 0 })).toEqual(done);
    const after = await store.getStream('first');
    expect(after).toMatchObject({ head: 1, headHash: done.hash, counts: { applied: 2 } });
    expect(await store.claimBatch(stream.id, 8)).toBeNull();
    expect(await store.listStreamsWithWork()).not.toContain(stream.id);
    expect(await store.verifyLog(stream.id, 1)).toEqual({ hash: done.hash, entries: 2, problems: [], damage: [] });
    expect(await store.hashAt(stream.id, 1)).toBe(done.hash);
    expect(await store.hashAt(stream.id, 0)).toBe(stream.headHash);
    expect((await store.activeEdits(stream.id)).map((edit) => [edit.subject, edit.seq, edit.column])).toEqual([
      ['Oslo', 1, 0],
      ['Rome', 1, 1],
    ]);
    expect(await store.listBatches(stream.id)).toMatchObject([
      { seq: 1, edits: 2, onHead: true, seconds: { total: 3 } },
    ]);
  });

  it('refuses a second stream of the same name and an unknown model', async () => {
    await sampleStream(store, 'taken');
    await expect(sampleStream(store, 'taken')).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    const unknown = store.createStream({ name: 'x', modelId: 'nope', config: sampleConfig });
    await expect(unknown).rejects.toMatchObject({ code: 'UNKNOWN_MODEL' });
    await expect(store.getStream('nope')).rejects.toMatchObject({ code: 'UNKNOWN_STREAM' });
    expect(await store.getModel('sample')).toEqual(sampleModel);
    expect(await store.listModels()).toEqual([sampleModel]);
  });

  it('makes one stream of a repeated request', async () => {
    const make = (bodyHash: string) =>
      store.createStream({ name: 'once', modelId: sampleModel.id, config: sampleConfig }, { key: 'k', bodyHash });
    const first = await make('a');
    expect((await make('a')).id).toBe(first.id);
    await expect(make('b')).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
  });

  it('records status changes as events', async () => {
    const stream = await sampleStream(store, 'events');
    for (const status of ['ready', 'ready', 'paused', 'ready', 'failed'] as const)
      await store.setStreamStatus(stream.id, status, status === 'failed' ? 'bad \0 thing' : null);
    await write(store, stream, [sampleEdit('Oslo', 'Norway')]);
    await store.createCheckpoint(stream.id, 'a');
    const kinds = (await store.listEvents(stream.id)).map((event) => event.kind);
    expect(kinds).toEqual(['created', 'prepared', 'paused', 'resumed', 'failed', 'batch', 'checkpoint']);
    expect(await store.getStream(stream.id)).toMatchObject({ status: 'failed', statusDetail: 'bad \ufffd thing' });
  });

  it('records what a preparation found, once, whatever the status was', async () => {
    const stream = await sampleStream(store, 'prepared');
    const layers = [3, 5].map((layer) => ({
      layer,
      condition: 1.5e9,
      lambda: 0.32,
      requestedLambda: 0,
      precision: 'fp64',
    }));
    await store.setStreamStatus(stream.id, 'preparing', 'inverse covariances: 1 of 2 layers');
    await store.finishPreparation(stream.id, layers);
    await store.finishPreparation(stream.id, layers);
    expect(await store.getStream(stream.id)).toMatchObject({ status: 'ready', statusDetail: null });
    const [, ...events] = await store.listEvents(stream.id);
    expect(events).toMatchObject([{ kind: 'prepared', detail: { layers } }]);
    await store.finishPreparation(stream.id, [{ ...layers[0], lambda: 0.33 }, layers[1]]);
    expect((await store.listEvents(stream.id)).map((event) => event.kind)).toEqual(['created', 'prepared', 'prepared']);
  });

  it('answers pings', async () => {
    await store.ping();
  });
});
