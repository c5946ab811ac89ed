import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleModel, sql } from './testing/samples.js';
import type { CovarianceRun } from './types.js';

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

const runOf = (corpusId: string, dimension: number, slices: number): CovarianceRun => ({
  modelId: sampleModel.id,
  corpusId,
  source: 'default',
  tokens: 100 * slices,
  dimension,
  slices,
});
const slice = (index: number, dimension: number) => ({
  index,
  tokens: 100,
  mean: Float32Array.from({ length: (dimension * (dimension + 1)) / 2 }, (_, i) => Math.sin(index * 13 + i)),
});
const count = async (table: string) =>
  (await sql(database.url, `SELECT count(*)::int AS n FROM ${table}`)).rows[0].n as number;

it('adds slices in order, each once, and stores their mean as a symmetric matrix', async () => {
  const run = runOf('small', 3, 2);
  await expect(store.addCovarianceSlice(run, 1, slice(1, 3))).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
  await Promise.all(Array.from({ length: 4 }, () => store.addCovarianceSlice(run, 1, slice(0, 3))));
  expect(await store.covarianceSlices(run, [1, 2])).toEqual(
    new Map([
      [1, 1],
      [2, 0],
    ]),
  );
  await expect(store.finishCovariance(run, 1)).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
  await store.addCovarianceSlice(run, 1, slice(1, 3));
  await store.addCovarianceSlice(run, 1, slice(1, 3));
  const saved = await store.finishCovariance(run, 1);
  expect(saved).toMatchObject({ layer: 1, corpusId: 'small', source: 'default', tokens: 200, dimension: 3 });
  const { data } = await store.readCovariance(saved.id);
  const mean = (i: number) => Math.fround((slice(0, 3).mean[i] * 100 + slice(1, 3).mean[i] * 100) / 200);
  expect([...data]).toEqual([0, 1, 3, 1, 2, 4, 3, 4, 5].map(mean));
  expect(await store.finishCovariance(run, 1)).toEqual(saved);
  expect(await store.covarianceSlices(run, [1])).toEqual(new Map([[1, 2]]));
  expect(await count('covariance_partials')).toBe(0);
  expect(await count('covariance_partial_chunks')).toBe(0);
  await store.addCovarianceSlice(run, 1, slice(0, 3));
  expect(await count('covariance_partials')).toBe(0);
});

it('keeps large sums in bounded rows, with the same bits when another store goes on in the middle', async () => {
  const dimension = 1100;
  const whole = runOf('whole', dimension, 3);
  const cut = runOf('cut', dimension, 3);
  for (let i = 0; i < 3; i++) await store.addCovarianceSlice(whole, 2, slice(i, dimension));
  expect((await sql(database.url, 'SELECT max(length(data)) AS n FROM covariance_partial_chunks')).rows[0].n).toBe(
    4 * 1024 * 1024,
  );
  await store.addCovarianceSlice(cut, 2, slice(0, dimension));
  const second = createStore({ databaseUrl: database.url });
  for (let i = 0; i < 3; i++) await second.addCovarianceSlice(cut, 2, slice(i, dimension));
  const [a, b] = await Promise.all([store.finishCovariance(whole, 2), second.finishCovariance(cut, 2)]);
  const [left, right] = [await store.readCovariance(a.id), await second.readCovariance(b.id)];
  await second.close();
  expect(Buffer.from(left.data.buffer).equals(Buffer.from(right.data.buffer))).toBe(true);
  expect(a.id).not.toBe(b.id);
});

it('refuses slices that cannot be summed, and partial sums that were damaged', async () => {
  const run = runOf('bad', 3, 1);
  const nan = { ...slice(0, 3), mean: new Float32Array(6).fill(Number.NaN) };
  await expect(store.addCovarianceSlice(run, 3, nan)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
  await expect(store.addCovarianceSlice(run, 3, slice(0, 4))).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
  await store.addCovarianceSlice(run, 3, { ...slice(0, 3), tokens: 7 });
  await expect(store.finishCovariance(run, 3)).rejects.toThrow('hold 7 tokens, the plan said 100');
  await sql(database.url, `UPDATE covariance_partials SET tokens = 100 WHERE layer = 3`);
  await sql(database.url, `UPDATE covariance_partial_chunks SET data = substring(data from 9) WHERE layer = 3`);
  await expect(store.finishCovariance(run, 3)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
});
