import { ErrataError, type Stream } from '@errata/contracts';
import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { lost, matrix, newStream, type Setting, settingOn } from '../testing/setting.js';
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

/** A stream whose covariances are there, and what its workers answer to `prepare`. */
async function streamWith(answer: (layer: number) => { condition: number; lambda: number }): Promise<Stream> {
  const stream = await newStream(store, { conditioning: 'raise-lambda' });
  for (const layer of stream.config.layers)
    await store.saveCovariance(
      { modelId: stream.modelId, layer, corpusId: 'c', source: 'default', tokens: 2000, dimension: 6 },
      matrix(6, 6, layer),
    );
  for (const worker of setting.workers)
    worker.prepare = async ({ layer }) => ({
      ...answer(layer),
      requestedLambda: 0,
      precision: 'fp64',
      rank: 0,
      seconds: 0,
      bytes: 0,
    });
  return stream;
}

test('what was found of each layer is kept as an event, raised λ included', async () => {
  const stream = await streamWith((layer) => ({ condition: 1e9 + layer, lambda: layer === 3 ? 0.32 : 0 }));
  await prepareStream(setting, stream.id, signal);
  expect((await store.getStream(stream.id)).status).toBe('ready');
  expect((await store.listEvents(stream.id)).at(-1)).toMatchObject({
    kind: 'prepared',
    detail: {
      layers: [
        { layer: 3, condition: 1e9 + 3, lambda: 0.32, requestedLambda: 0, precision: 'fp64' },
        { layer: 5, condition: 1e9 + 5, lambda: 0, requestedLambda: 0, precision: 'fp64' },
      ],
    },
  });
});

test('ill-conditioned layers are refused, each by name, with what to do', async () => {
  const stream = await streamWith((layer) => {
    throw new ErrataError('ILL_CONDITIONED', `layer ${layer}: condition 3e12`);
  });
  const refusal = await prepareStream(setting, stream.id, signal).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'ILL_CONDITIONED', retryable: false });
  expect(String(refusal)).toMatch(/layer 3: condition 3e12; layer 5: condition 3e12\. .*raise-lambda/);
  expect((await store.listEvents(stream.id)).map((event) => event.kind)).toEqual(['created']);
});

test('a worker that is lost meanwhile makes the preparation fail for now, and another takes its layers', async () => {
  const stream = await streamWith(() => ({ condition: 10, lambda: 0 }));
  const { owner } = setting.fleet.place(stream.id, 0);
  const away = setting.workers.find((worker) => worker.address === owner.address)!;
  away.prepare = async () => {
    setting.away.add(away.address);
    throw lost(away.address);
  };
  await expect(prepareStream(setting, stream.id, signal)).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  expect((await store.getStream(stream.id)).status).toBe('preparing');
  await prepareStream(setting, stream.id, signal);
  expect((await store.getStream(stream.id)).status).toBe('ready');
});
