import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleStream } from './testing/samples.js';

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

/** Park and Miller's generator: the same walk every time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const view = async (streamId: string) => {
  const edits = (await store.listEdits(streamId, { limit: 1000 })).edits;
  const live = edits.filter((edit) => edit.status === 'applied' || edit.status === 'verified');
  return { live: live.map((edit) => [edit.id, edit.status, edit.seq, edit.column]), edits };
};

it.each([1, 2])('comes back to every earlier state, whatever the path there (seed %i)', async (seed) => {
  const random = generator(seed * 7919);
  const stream = await sampleStream(store, `walk ${seed}`);
  const seen = new Map([[0, { hash: stream.headHash, live: JSON.stringify([]) }]]);
  for (let step = 0; step < 40; step++) {
    const { live, edits } = await view(stream.id);
    const choice = random(10);
    if (choice < 5) {
      const batch = Array.from({ length: 1 + random(3) }, () => sampleEdit(`s${random(8)}`, `t${random(4)}`));
      await store.enqueueEdits(stream.id, batch);
      const claimed = await store.claimBatch(stream.id, 8);
      if (claimed) await finish(store, stream, claimed);
    } else if (choice < 7 && live.length > 0) {
      const id = String(live[random(live.length)][0]);
      await finish(store, stream, await store.claimRevoke(stream.id, [id], null));
    } else if (choice < 9) {
      const seqs = [...seen.keys()];
      await store.rollback(stream.id, seqs[random(seqs.length)]);
    } else {
      await store.enqueueEdits(stream.id, [sampleEdit(`s${random(8)}`, `u${step}`)]);
      await store.claimBatch(stream.id, 8);
      await store.rollback(stream.id, (await store.getStream(stream.id)).head);
    }
    const { head, headHash } = await store.getStream(stream.id);
    const now = await view(stream.id);
    const state = { hash: headHash, live: JSON.stringify(now.live) };
    const before = seen.get(head);
    if (before) expect(state).toEqual(before);
    seen.set(head, state);
    expect((await store.activeEdits(stream.id)).map((edit) => edit.id)).toEqual(now.live.map(([id]) => id));
    expect(now.edits.length).toBeGreaterThanOrEqual(edits.length);
    const keys = now.edits.filter((e) => e.status === 'applied').map((e) => e.subject);
    expect(new Set(keys).size).toBe(keys.length);
  }
  for (const seq of seen.keys()) expect((await store.verifyLog(stream.id, seq)).problems).toEqual([]);
  expect(seen.size).toBeGreaterThan(12);
});
