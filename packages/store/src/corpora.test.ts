import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleConfig, sampleModel, sampleStream, sql } from './testing/samples.js';

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  await store.registerModel(sampleModel);
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

it('keeps a text by its content, in bounded rows, once', async () => {
  const text = `Tórshavn שלום ${'🦉 owl. '.repeat(300_000)}`;
  const [first, again] = await Promise.all([store.addCorpus('owls', text), store.addCorpus('other name', text)]);
  expect(first.id).toBe(`crp_${createHash('sha256').update(text).digest('hex')}`);
  expect(again).toEqual(first);
  expect(first).toMatchObject({ bytes: Buffer.byteLength(text), streams: 0 });
  expect(await store.listCorpora()).toEqual([first]);
  expect(await store.readCorpus(first.id)).toBe(text);
  expect((await sql(database.url, 'SELECT max(length(data)) AS n FROM corpus_chunks')).rows[0].n).toBe(1024 * 1024);
  await sql(database.url, 'UPDATE corpus_chunks SET data = set_byte(data, 9, 65) WHERE index = 1');
  await expect(store.readCorpus(first.id)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  await store.deleteCorpus(first.id);
  expect((await sql(database.url, 'SELECT count(*)::int AS n FROM corpus_chunks')).rows[0].n).toBe(0);
});

it('refuses what is no text', async () => {
  await expect(store.addCorpus('x', ' \n\t ')).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  await expect(store.addCorpus('x', 'a\0b')).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
});

it('names what is not there', async () => {
  const id = `crp_${'0'.repeat(64)}`;
  for (const unknown of [id, "'; drop table corpora"]) {
    await expect(store.getCorpus(unknown)).rejects.toMatchObject({ code: 'UNKNOWN_CORPUS' });
    await expect(store.readCorpus(unknown)).rejects.toMatchObject({ code: 'UNKNOWN_CORPUS' });
    await expect(store.deleteCorpus(unknown)).rejects.toMatchObject({ code: 'UNKNOWN_CORPUS' });
  }
  const made = sampleStream(store, 'without a text', { ...sampleConfig, corpus: { id } });
  await expect(made).rejects.toMatchObject({ code: 'UNKNOWN_CORPUS' });
});

it('is not deleted while a stream names it, and takes its partial sums with it', async () => {
  const { id } = await store.addCorpus('used', 'some words');
  const free = await store.addCorpus('free', 'other words');
  const run = { modelId: sampleModel.id, corpusId: 'x', source: free.id, tokens: 1, dimension: 1, slices: 2 };
  await store.addCovarianceSlice(run, 0, { index: 0, tokens: 1, mean: Float32Array.of(1) });
  const stream = await sampleStream(store, 'on the text', { ...sampleConfig, corpus: { id } });
  expect((await store.getStream(stream.id)).config.corpus).toEqual({ id });
  expect(await store.getCorpus(id)).toMatchObject({ streams: 1 });
  await expect(store.deleteCorpus(id)).rejects.toMatchObject({ code: 'CORPUS_IN_USE' });
  await expect(store.deleteCorpus(id)).rejects.toThrow('"on the text"');
  await store.deleteCorpus(free.id);
  expect(await store.covarianceSlices(run, [0])).toEqual(new Map([[0, 0]]));
});
