import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleModel, sampleStream, sql } from './testing/samples.js';

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

const info = (layer: number, tokens: number, dimension: number) => ({
  modelId: sampleModel.id,
  layer,
  corpusId: 'corpus',
  source: 'default',
  tokens,
  dimension,
});

it('keeps 9 MB bit for bit in chunks, and finds damage', async () => {
  const dimension = 1536;
  const data = Float32Array.from({ length: dimension * dimension }, (_, i) => Math.sin(i) * 1e3);
  const moment = { rows: dimension, columns: dimension, data };
  const saved = await store.saveCovariance(info(6, 41_000, dimension), moment);
  const read = await store.readCovariance(saved.id);
  expect(Buffer.from(read.data.buffer).equals(Buffer.from(data.buffer))).toBe(true);
  expect((await sql(database.url, 'SELECT count(*)::int AS n FROM covariance_chunks')).rows[0].n).toBe(3);
  await sql(database.url, 'UPDATE covariance_chunks SET data = set_byte(data, 7, 1) WHERE index = 2');
  await expect(store.readCovariance(saved.id)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  await expect(store.readCovariance('cov_none')).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
});

it('writes each once, finds the newest with enough tokens and binds the first', async () => {
  const moment = (x: number) => ({ rows: 2, columns: 2, data: Float32Array.of(x, 0, 0, x) });
  const many = Array.from({ length: 8 }, (_, i) => store.saveCovariance(info(1, 1000, 2), moment(i)));
  const [small] = await Promise.all(many);
  const large = await store.saveCovariance(info(1, 2000, 2), moment(9));
  expect(large.id).not.toBe(small.id);
  expect(await store.findCovariance(sampleModel.id, 1, 'default', 1500)).toEqual(large);
  expect(await store.findCovariance(sampleModel.id, 1, 'default', 500)).toEqual(large);
  expect(await store.findCovariance(sampleModel.id, 1, 'default', 2001)).toBeNull();
  expect(await store.findCovariance(sampleModel.id, 1, 'model:0', 500)).toBeNull();
  const stream = await sampleStream(store, 'bound');
  expect(await store.boundCovariance(stream.id, 1)).toBeNull();
  await store.bindCovariance(stream.id, 1, small.id);
  await store.bindCovariance(stream.id, 1, large.id);
  expect(await store.boundCovariance(stream.id, 1)).toEqual(small);
  const bad = store.saveCovariance(info(1, 3000, 3), moment(1));
  await expect(bad).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
});

it('keeps evaluations', async () => {
  const stream = await sampleStream(store, 'evaluated');
  const evaluation = await store.createEvaluation(stream.id, 0);
  expect(evaluation).toMatchObject({ status: 'running', rewriteAfter: null, edits: [] });
  const done = { ...evaluation, status: 'done' as const, rewriteAfter: 0.95 };
  await store.saveEvaluation(done);
  expect(await store.getEvaluation(stream.id, evaluation.id)).toEqual(done);
  await expect(store.getEvaluation(stream.id, 'evl_0')).rejects.toMatchObject({ code: 'UNKNOWN_EVALUATION' });
  await expect(store.createEvaluation(stream.id, 7)).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
});
