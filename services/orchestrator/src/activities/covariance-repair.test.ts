import { createStore, migrate, type Store } from '@errata/store';
import { startTestServer, type TestServer } from '@errata/store/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newStream, type Setting, settingOn } from '../testing/setting.js';
import { runtimeWith } from '../testing/slices.js';
import { addCovarianceSlice, finishCovariances, planCovariance, requestCovariances } from './covariance.js';
import { repairLog } from './repair.js';

let server: TestServer;
let store: Store;
let setting: Setting;
const signal = new AbortController().signal;

beforeAll(async () => {
  server = await startTestServer();
  await server.query('CREATE DATABASE errata');
  await migrate(server.url('errata'));
  store = createStore({ databaseUrl: server.url('errata') });
  setting = settingOn(store);
});
afterAll(async () => {
  setting.fleet.close();
  await store.close();
  await server.stop();
});

test('a flipped bit in a covariance is named, and put back from its source where that is the same', async () => {
  const stream = await newStream(store, {});
  const parts = { ...setting, runtime: runtimeWith('default').runtime };
  const asked = { modelId: stream.modelId, source: 'default', tokens: 1000 };
  const run = await planCovariance(parts, asked, signal);
  for (let i = 0; i < run.slices; i++) await addCovarianceSlice(parts, { run, layers: [3, 5], streamIds: [] }, signal);
  await finishCovariances(parts, { run, layers: [3, 5] }, signal);
  expect(await requestCovariances(parts, stream.id)).toEqual({ missing: 0 });
  const { id } = (await store.boundCovariance(stream.id, 5))!;
  const before = await store.readCovariance(id);
  const flip = () =>
    server.query(
      `UPDATE covariance_chunks SET data = set_byte(data, 9, get_byte(data, 9) # 16) WHERE covariance_id = '${id}'`,
      'errata',
    );
  await flip();
  await expect(store.readCovariance(id)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  const damage = { streamId: stream.id, seq: 0, layer: 5, tensor: 'covariance' };
  expect(await store.verifyStored(stream.id, 0)).toMatchObject([{ ...damage, id }]);

  const elsewhere = { ...parts, runtime: runtimeWith('another text').runtime };
  expect(await repairLog(elsewhere, stream.id, signal)).toMatchObject({ repaired: [], lost: [damage], lastGood: null });
  await expect(store.readCovariance(id)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });

  expect(await repairLog(parts, stream.id, signal)).toMatchObject({ repaired: [damage], lost: [] });
  const after = await store.readCovariance(id);
  expect(Buffer.from(after.data.buffer).equals(Buffer.from(before.data.buffer))).toBe(true);
  expect(await store.verifyStored(stream.id, 0)).toEqual([]);

  // A piece that is gone altogether.
  await server.query(`DELETE FROM covariance_chunks WHERE covariance_id = '${id}'`, 'errata');
  expect(await store.verifyStored(stream.id, 0)).toMatchObject([damage]);
  expect(await repairLog(parts, stream.id, signal)).toMatchObject({ repaired: [damage], lost: [] });
  expect((await store.readCovariance(id)).data).toEqual(before.data);
});
