import { createStore, migrate, type Store } from '@errata/store';
import { startTestServer, type TestServer } from '@errata/store/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { claimedBatch, newStream, type Setting, settingOn } from '../testing/setting.js';
import { applyLayer } from './layers.js';
import { repairLog } from './repair.js';

const tensors = ['keys', 'g', 'b', 'r_diagonal', 'tensor_hashes'] as const;
let server: TestServer;
let store: Store;
const settings: Setting[] = [];
const signal = new AbortController().signal;

beforeAll(async () => {
  server = await startTestServer();
  await server.query('CREATE DATABASE errata');
  await migrate(server.url('errata'));
  store = createStore({ databaseUrl: server.url('errata') });
});
afterEach(() => {
  for (const { fleet } of settings.splice(0)) fleet.close();
});
afterAll(async () => {
  await store.close();
  await server.stop();
});

/** A committed batch of two layers, and the workers that computed it. */
async function written(addresses: readonly string[] = ['a:1']) {
  const setting = settingOn(store, addresses);
  settings.push(setting);
  const stream = await newStream(store);
  await claimedBatch(store, stream, [1, 1]);
  for (const layer of stream.config.layers) await applyLayer(setting, stream.id, 1, layer, signal);
  await store.commitBatch(stream.id, 1, { targets: 0, keys: 0, update: 0, total: 0 });
  return { setting, stream };
}

const flip = (table: string, column: string, where: string, byte = '5') =>
  server.query(
    `ALTER TABLE ${table} DISABLE TRIGGER USER;
     UPDATE ${table} SET ${column} = set_byte(${column}, ${byte}, get_byte(${column}, ${byte}) # 1) WHERE ${where};
     ALTER TABLE ${table} ENABLE TRIGGER USER`,
    'errata',
  );

/** A bit of a tensor of an entry: K, G and B lie one behind the other. */
const flipTensor = (tensor: (typeof tensors)[number], where: string) => {
  const before = { keys: 0, g: 1, b: 2 }[tensor as string];
  return before === undefined
    ? flip('log_entries', tensor, where)
    : flip('log_entries', 'rest', where, `5 + ${before} * 4 * d_in * columns`);
};

test('a flipped bit in any tensor of an entry is named and put back', async () => {
  const { setting, stream } = await written();
  for (const column of tensors) {
    await flipTensor(column, `stream_id = '${stream.id}' AND layer = 5`);
    const tensor = column === 'tensor_hashes' ? 'record' : column;
    const damage = { streamId: stream.id, seq: 1, layer: 5, tensor };
    const { damage: found } = await store.verifyLog(stream.id, 1);
    expect(found.map(({ tensor: name }) => name)).toContain(tensor);
    const report = await repairLog(setting, stream.id, signal);
    expect(report).toMatchObject({ repaired: [damage], lost: [], lastGood: null });
    expect(await store.verifyLog(stream.id, 1)).toMatchObject({ problems: [], damage: [] });
  }
  const repairs = (await store.listEvents(stream.id)).filter(({ kind }) => kind === 'repaired');
  expect(repairs).toHaveLength(tensors.length);
});

test('what gives another hash is beyond repair, with the position to go back to', async () => {
  const { setting, stream } = await written(['b:1']);
  await flipTensor('b', `stream_id = '${stream.id}' AND layer = 3`);
  const other = settingOn(store, ['c:1']);
  settings.push(other);
  const report = await repairLog({ ...setting, fleet: other.fleet }, stream.id, signal);
  expect(report).toMatchObject({ repaired: [], lost: [{ seq: 1, layer: 3, tensor: 'b' }], lastGood: 0 });
  expect(report.lost[0].detail).toContain('does not give its recorded hash');
  expect((await store.verifyLog(stream.id, 1)).damage).toHaveLength(1);
});

test('a damaged snapshot is taken again, damaged targets are named', async () => {
  const { setting, stream } = await written(['d:1']);
  const key = { streamId: stream.id, seq: 1, kind: 'weights', form: 'x' } as const;
  const save = () =>
    store.saveSnapshot(key, [{ name: '3/delta', rows: 1, columns: 9, data: new Float32Array(9).fill(7) }]);
  const { snapshot } = await save();
  await flip('chunks', 'data', `id IN (SELECT chunk_id FROM snapshot_chunks WHERE snapshot_id = '${snapshot.id}')`);
  await flip('targets', 'data', `stream_id = '${stream.id}'`);
  const found = await store.verifyStored(stream.id, 1);
  expect(found).toMatchObject([
    { seq: 1, layer: null, tensor: 'targets' },
    { seq: 1, layer: 3, tensor: 'snapshot' },
  ]);
  const runtime = {
    ...setting.runtime,
    async snapshot() {
      const taken = await save();
      return { snapshotId: taken.snapshot.id, seq: 1, bytes: taken.snapshot.bytes, created: taken.created };
    },
  };
  const report = await repairLog({ ...setting, runtime }, stream.id, signal);
  expect(report).toMatchObject({ repaired: [{ tensor: 'snapshot' }], lost: [{ tensor: 'targets' }], lastGood: null });
  const [again] = await store.listSnapshots(stream.id);
  expect((await store.readSnapshotTensor(again.id, '3/delta')).data).toEqual(new Float32Array(9).fill(7));
});
