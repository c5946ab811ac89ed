import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { claimedBatch, lost, newStream, type Setting, settingOn, updateOf } from '../testing/setting.js';
import { applyLayer, revokeLayer } from './layers.js';

let database: TestDatabase;
let store: Store;
const settings: Setting[] = [];
const signal = new AbortController().signal;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
afterEach(() => {
  for (const { fleet } of settings.splice(0)) fleet.close();
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

function setUp(addresses?: readonly string[]): Setting {
  const setting = settingOn(store, addresses);
  settings.push(setting);
  return setting;
}

/** The workers in the order in which they would take the shards of a layer. */
function holders(setting: Setting, streamId: string, layerIndex: number) {
  const { owner, peers } = setting.fleet.place(streamId, layerIndex, setting.workers.length);
  return [owner.address, ...peers].map((address) => setting.workers.find((worker) => worker.address === address)!);
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

test('importance and forgetting are passed as weights, and the keys of the shard are what is recorded', async () => {
  const setting = setUp();
  const stream = await newStream(store, { forgetting: 0.9 });
  await claimedBatch(store, stream, [2, 1, 0.01]);
  await applyLayer(setting, stream.id, 1, 3, signal);
  const [owner] = holders(setting, stream.id, 0);
  const { weights, peers, epoch } = owner.applied[0];
  expect(weights).toEqual([2 / 0.9, 1 / 0.9, 0.01 / 0.9].map((weight) => expect.closeTo(weight, 12)));
  expect({ peers, epoch }).toEqual({ peers: [], epoch: 1 });
  const [entry] = await store.readEntries(stream.id, 3, [1]);
  expect(entry.keys).toEqual(updateOf(owner.address, 3).keys);
  expect(entry.keys.data).not.toEqual(owner.applied[0].keys.data);
});

test('where every edit counts the same no weights travel', async () => {
  const setting = setUp();
  const stream = await newStream(store);
  await claimedBatch(store, stream, [1, 1]);
  await applyLayer(setting, stream.id, 1, 3, signal);
  expect(holders(setting, stream.id, 0)[0].applied[0].weights).toEqual([]);
});

test('a batch that would weigh too much is not written, and says so', async () => {
  const setting = setUp();
  const stream = await newStream(store, { forgetting: 0.9 });
  const batch = await claimedBatch(store, stream, [1]);
  // As if the log were long: what is claimed has the seq 200.
  const later = { ...store, getClaimedBatch: async () => ({ ...batch, seq: 200 }), stagedLayers: async () => [] };
  const readTargets = () => store.readTargets(stream.id, 1);
  await expect(
    applyLayer({ ...setting, store: { ...later, readTargets } }, stream.id, 200, 3, signal),
  ).rejects.toMatchObject({
    code: 'ILL_CONDITIONED',
    message: expect.stringMatching(/batch 200 .* weight 1\.4e\+9 .*above 1e\+8/),
  });
  expect(setting.workers.flatMap((worker) => worker.applied)).toEqual([]);
});

test('an activity whose worker is lost fails with a retryable error, and run again goes to another', async () => {
  const setting = setUp();
  const stream = await newStream(store);
  await claimedBatch(store, stream, [1]);
  const [first, second] = holders(setting, stream.id, 0);
  first.apply = async () => {
    setting.away.add(first.address);
    throw lost(first.address);
  };
  const run = () => applyLayer(setting, stream.id, 1, 3, signal);
  await expect(run()).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  await run();
  expect(second.applied).toMatchObject([{ epoch: 2 }]);
  expect((await store.readEntries(stream.id, 3, [1]))[0].g).toEqual(updateOf(second.address, 1).g);
});

test('an owner that was given up and answers late is refused by the log; the new one is not', async () => {
  const setting = setUp();
  const stream = await newStream(store);
  await claimedBatch(store, stream, [1]);
  const [old, next] = holders(setting, stream.id, 0);
  const release: (() => void)[] = [];
  for (const worker of [old, next]) {
    const apply = worker.apply;
    worker.apply = async (...args) => {
      const update = await apply(...args);
      await new Promise<void>((resolve) => release.push(resolve));
      return update;
    };
  }
  const late = applyLayer(setting, stream.id, 1, 3, signal);
  await until(() => release.length === 1);
  setting.away.add(old.address);
  await until(() => !setting.fleet.isUp(old.address));
  const again = applyLayer(setting, stream.id, 1, 3, signal);
  await until(() => release.length === 2);
  release[0]();
  await expect(late).rejects.toMatchObject({ code: 'STALE_EPOCH', retryable: true });
  expect(await store.stagedLayers(stream.id, 1)).toEqual([]);
  release[1]();
  await again;
  expect([old.applied[0].epoch, next.applied[0].epoch]).toEqual([1, 2]);
  expect((await store.readEntries(stream.id, 3, [1]))[0].b).toEqual(updateOf(next.address, 1).b);
});

test('a layer in several shards: the first is called and told of the others; any that moves ends the epoch', async () => {
  const setting = setUp(['a:1', 'b:1', 'c:1']);
  const stream = await newStream(store, { rowShards: 2 });
  await claimedBatch(store, stream, [1]);
  const [owner, peer, spare] = holders(setting, stream.id, 0);
  await applyLayer(setting, stream.id, 1, 3, signal);
  expect(owner.applied).toMatchObject([{ layer: 3, peers: [peer.address], epoch: 1 }]);
  await applyLayer(setting, stream.id, 1, 5, signal);
  await store.commitBatch(stream.id, 1, { targets: 0, keys: 0, update: 0, total: 0 });

  setting.away.add(peer.address);
  await until(() => !setting.fleet.isUp(peer.address));
  const { edits } = await store.listEdits(stream.id);
  const revoke = await store.claimRevoke(stream.id, [edits[0].id], null);
  await revokeLayer(setting, stream.id, revoke.seq, 3, signal);
  expect(owner.revoked).toMatchObject([
    { layer: 3, peers: [spare.address], epoch: 2, columns: [{ seq: 1, column: 0 }] },
  ]);
  expect((await store.readEntries(stream.id, 3, [revoke.seq]))[0].sign).toBe(-1);
});
