import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleEdit, sampleStream, write } from './testing/samples.js';

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

const layer = {
  layer: 3,
  rank: 1,
  deltaNorm: 2,
  deltaBound: 4,
  anchorDeviation: 0.5,
  effectiveRank: 1,
  spectralNorm: 2,
  conditionEstimate: 10,
  information: 0.1,
};

it('shows what waits, how long, the head, and the drift of the newest batch up to the head', async () => {
  const stream = await sampleStream(store, 'figures');
  expect(await store.streamFigures()).toMatchObject([
    { name: 'figures', status: 'preparing', head: 0, queued: 0, resolved: 0, oldestQueuedSeconds: 0, drift: [] },
  ]);
  const first = await write(store, stream, [sampleEdit('a', 'x')]);
  const second = await write(store, stream, [sampleEdit('b', 'x')]);
  await store.saveBatchDrift(stream.id, first.seq, [layer]);
  await store.saveBatchDrift(stream.id, second.seq, [{ ...layer, deltaNorm: 3 }]);
  await store.enqueueEdits(stream.id, [sampleEdit('c', 'x'), sampleEdit('d', 'x')]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const [figures] = await store.streamFigures();
  expect(figures).toMatchObject({ head: second.seq, queued: 2, resolved: 0, drift: [{ deltaNorm: 3 }] });
  expect(figures.oldestQueuedSeconds).toBeGreaterThan(0.01);
  await store.rollback(stream.id, first.seq);
  expect((await store.streamFigures())[0]).toMatchObject({ head: first.seq, queued: 2, drift: [{ deltaNorm: 2 }] });
});

it('shows the newest evaluation that is done, and how large the log is', async () => {
  const stream = await sampleStream(store, 'evaluated');
  const earlier = await store.createEvaluation(stream.id, 0);
  const done = { ...earlier, status: 'done' as const, rewriteAfter: 0.9, perplexityBefore: 20, perplexityAfter: 21 };
  await store.saveEvaluation(done);
  await store.createEvaluation(stream.id, 0);
  const newest = await store.newestEvaluations();
  expect(newest).toEqual(new Map([[stream.id, earlier.id]]));
  expect(await store.evaluationFigures([...newest.values()])).toEqual(
    new Map([
      [
        earlier.id,
        {
          rewriteAfter: 0.9,
          paraphraseAfter: null,
          neighboursKept: null,
          perplexityBefore: 20,
          perplexityAfter: 21,
        },
      ],
    ]),
  );
  const { log, database } = await store.storageBytes();
  expect(log).toBeGreaterThan(0);
  expect(database).toBeGreaterThan(log);
});
