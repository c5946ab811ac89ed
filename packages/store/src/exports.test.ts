import type { ExportManifest, Stream } from '@errata/contracts';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleEdit, sampleStream, write } from './testing/samples.js';

let database: TestDatabase;
let store: Store;
let stream: Stream;
let streams = 0;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
afterAll(async () => {
  await store.close();
  await database.stop();
});
beforeEach(async () => {
  stream = await sampleStream(store, `stream ${streams++}`);
  await write(store, stream, [sampleEdit('Ada', 'Paris')]);
});

const manifest = { version: 1, format: 'peft', files: [] } as unknown as ExportManifest;
const request = () => ({ streamId: stream.id, seq: 1, format: 'peft', dtype: 'fp32', maxRank: 64 }) as const;
const publication = () => ({
  streamId: stream.id,
  seq: 1,
  target: 'gpu',
  alias: `alias-${streams}`,
  samples: 5,
  tolerance: 0,
  dtype: 'fp32' as const,
  maxRank: 64,
});

it('holds an export with the hash of its position, in a folder of its own', async () => {
  const made = await store.createExport({ ...request(), destination: 'one' });
  expect(made).toMatchObject({ status: 'queued', logHash: await store.hashAt(stream.id, 1), destination: 'one' });
  await expect(store.createExport({ ...request(), destination: 'one' })).rejects.toMatchObject({
    code: 'EXPORT_EXISTS',
  });
  const race = await Promise.allSettled(
    Array.from({ length: 8 }, () => store.createExport({ ...request(), destination: 'raced' })),
  );
  expect(race.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  await expect(store.createExport({ ...request(), seq: 9 })).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  await expect(store.getExport(made.id, 'str_other')).rejects.toMatchObject({ code: 'UNKNOWN_EXPORT' });
});

it('leaves an export alone that has ended, and frees the folder of one that failed', async () => {
  const made = await store.createExport({ ...request(), destination: 'freed' });
  await store.updateExport(made.id, { status: 'failed', detail: 'the disk is full' });
  await store.updateExport(made.id, { status: 'done', manifest });
  expect(await store.getExport(made.id)).toMatchObject({
    status: 'failed',
    detail: 'the disk is full',
    manifest: null,
  });
  const next = await store.createExport({ ...request(), destination: 'freed' });
  await store.updateExport(next.id, { status: 'done', manifest, bytesDone: 3e10, bytesTotal: 3e10 });
  expect(await store.getExport(next.id)).toMatchObject({ status: 'done', bytesDone: 3e10, manifest });
});

it('moves an alias by compare-and-swap, and once', async () => {
  const first = await store.createPublication(publication());
  expect(first.loraName).toMatch(/^alias-\d+-1-[0-9a-f]{8}-[0-9a-f]{8}$/);
  const { target, alias } = first;
  expect(await store.getAlias(target, alias)).toBeNull();
  const moved = await store.swapAlias(target, alias, first.id, 0);
  expect(moved).toMatchObject({ version: 1, loraName: first.loraName, seq: 1 });
  expect(await store.swapAlias(target, alias, first.id, 0)).toEqual(moved);
  const rivals = await Promise.all([store.createPublication(publication()), store.createPublication(publication())]);
  const race = await Promise.allSettled(rivals.map(({ id }) => store.swapAlias(target, alias, id, 1)));
  expect(race.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(race.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'ALIAS_MOVED' } });
  expect((await store.getAlias(target, alias))?.version).toBe(2);
});

it('keeps the files that an alias serves, and the first record of every step', async () => {
  const made = await store.createPublication(publication());
  await store.recordStep(made.id, 'load', { loraName: 'a' });
  await store.recordStep(made.id, 'load', { loraName: 'b' });
  await store.swapAlias(made.target, made.alias, made.id, 0);
  await store.endPublication(made.id, 'done', null);
  await store.endPublication(made.id, 'failed', 'too late');
  expect(await store.getPublication(made.id, stream.id)).toMatchObject({
    status: 'done',
    detail: null,
    steps: [{ step: 'load', detail: { loraName: 'a' } }],
  });
  const events = (await store.listEvents(stream.id)).filter(({ detail }) => detail.publication === made.id);
  expect(events).toMatchObject([
    { kind: 'publication', seq: 1, detail: { step: 'load', loraName: 'a', target: 'gpu', alias: made.alias } },
    { kind: 'publication', seq: 1, detail: { step: 'end', status: 'done', loraName: made.loraName } },
  ]);
  await expect(store.deleteExport(made.exportId)).rejects.toMatchObject({ code: 'EXPORT_IN_USE' });
});
