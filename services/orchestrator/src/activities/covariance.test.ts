import { ErrataError } from '@errata/contracts';
import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import type { CovarianceRunPlan } from '@errata/workflows';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { newStream, type Setting, settingOn } from '../testing/setting.js';
import { dimension, runtimeWith } from '../testing/slices.js';
import { addCovarianceSlice, finishCovariances, planCovariance, requestCovariances } from './covariance.js';
import { prepareStream } from './prepare.js';

let database: TestDatabase;
let store: Store;
let setting: Setting;
const signal = new AbortController().signal;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
beforeEach(() => {
  setting = settingOn(store);
});
afterEach(() => setting.fleet.close());
afterAll(async () => {
  await store.close();
  await database.stop();
});

async function prepared(corpus: string, lose: { slice: number } | null = null) {
  const stream = await newStream(store, {});
  const { requests, runtime } = runtimeWith(corpus, lose);
  const parts = { ...setting, runtime };
  const run = await planCovariance(parts, { modelId: stream.modelId, source: corpus, tokens: 3000 }, signal);
  return { stream, requests, parts, run };
}

/** All slices, trying again as the workflow would. */
async function sum(parts: Setting, run: CovarianceRunPlan, layers: number[], streamIds: string[] = []) {
  for (let done = 0, tries = 0; done < run.slices && tries < 10; tries++) {
    try {
      done = (await addCovarianceSlice(parts, { run, layers, streamIds }, signal)).slices;
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'NOT_READY') throw error;
    }
  }
  await finishCovariances(parts, { run, layers }, signal);
}

test('work that was interrupted between two layers of a slice has the bits of work that was not', async () => {
  const whole = await prepared('model:1');
  await sum(whole.parts, whole.run, [3, 5]);
  const broken = await prepared('model:2', { slice: 1 });
  await sum(broken.parts, broken.run, [3, 5]);
  expect(broken.requests.map(({ slice, layers }) => [slice, layers.join()])).toEqual([
    [0, '3,5'],
    [1, '3,5'],
    [1, '5'],
    [2, '3,5'],
  ]);
  for (const layer of [3, 5]) {
    const [a, b] = await Promise.all(
      ['model:1', 'model:2'].map(async (source) => {
        const found = await store.findCovariance(whole.run.modelId, layer, source, 3000);
        return { found, moment: await store.readCovariance(found!.id) };
      }),
    );
    expect(a.found).toMatchObject({ tokens: 3100, dimension });
    expect(Buffer.from(a.moment.data.buffer).equals(Buffer.from(b.moment.data.buffer))).toBe(true);
  }
});

test('a stream binds what is there, and waits for one run of what is not', async () => {
  const { stream, parts, run } = await prepared('default');
  expect(await requestCovariances(parts, stream.id)).toEqual({ missing: 2 });
  expect(setting.joined).toEqual([
    [
      { modelId: stream.modelId, source: 'default', tokens: 1000 },
      { streamId: stream.id, layers: [3, 5] },
    ],
  ]);
  await expect(prepareStream(parts, stream.id, signal)).rejects.toMatchObject({ code: 'NOT_READY' });
  await sum(parts, run, [3], [stream.id, 'str_none']);
  expect((await store.getStream(stream.id)).statusDetail).toBe('covariance: 100 %');
  expect(await requestCovariances(parts, stream.id)).toEqual({ missing: 1 });
  expect(setting.joined.at(-1)?.[1]).toEqual({ streamId: stream.id, layers: [5] });
  await sum(parts, run, [3, 5]);
  expect(await requestCovariances(parts, stream.id)).toEqual({ missing: 0 });
  const bound = await store.boundCovariance(stream.id, 5);
  expect(bound).toMatchObject({ source: 'default', corpusId: 'default' });
});

test('a stream on another text shares nothing', async () => {
  const { stream, parts } = await prepared('default');
  const text = await store.addCorpus('a text', 'words');
  const other = await newStream(store, { corpus: { id: text.id } });
  const sampled = await newStream(store, { corpus: { kind: 'model', seed: 7 } });
  await requestCovariances(parts, other.id);
  await requestCovariances(parts, sampled.id);
  expect(setting.joined.map(([args]) => args.source)).toEqual([text.id, 'model:7']);
  expect(await requestCovariances(parts, stream.id)).toEqual({ missing: 0 });
});

test('progress is not written over a stream that was stopped meanwhile', async () => {
  const { stream, parts, run } = await prepared('model:3');
  await store.setStreamStatus(stream.id, 'failed', 'why');
  await sum(parts, run, [3], [stream.id]);
  expect(await store.getStream(stream.id)).toMatchObject({ status: 'failed', statusDetail: 'why' });
});

test('a slice that the runtime sends in another shape is refused', async () => {
  const { parts, run } = await prepared('model:4');
  const work = addCovarianceSlice(parts, { run: { ...run, dimension: 6 }, layers: [3], streamIds: [] }, signal);
  await expect(work).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
});
