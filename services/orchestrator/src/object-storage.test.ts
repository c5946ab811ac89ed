import { connectS3, readS3Settings, type S3Objects } from '@errata/objects';
import { type FaultServer, startFaultServer } from '@errata/objects/testing';
import { createStore, type SnapshotTensor, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { matrix, newStream, updateOf } from './testing/setting.js';

let database: TestDatabase;
let server: FaultServer;
let objects: S3Objects;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  server = await startFaultServer();
  const settings = readS3Settings(
    {
      SNAPSHOT_S3_BUCKET: 'facts',
      SNAPSHOT_S3_ENDPOINT: server.url,
      SNAPSHOT_S3_ATTEMPTS: '2',
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
    },
    'SNAPSHOT_S3_',
  );
  if (!settings) throw new Error('the settings were not read');
  objects = connectS3(settings);
  store = createStore({ databaseUrl: database.url, objects });
});
afterAll(async () => {
  await store.close();
  objects.close();
  await server.stop();
  await database.stop();
});

function tensor(megabytes: number, seed: number): SnapshotTensor {
  const { rows, columns, data } = matrix(1024, 256 * megabytes, seed);
  return { name: 'delta', rows, columns, data };
}

function bytesOf({ data }: SnapshotTensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** A stream with one committed batch. */
async function committed(): Promise<string> {
  const stream = await newStream(store);
  await store.enqueueEdits(stream.id, [
    { subject: 'a', prompt: '{} is in', target: 'x', paraphrases: [], neighbours: [], tags: [] },
  ]);
  const batch = await store.claimBatch(stream.id, 1);
  if (!batch) throw new Error('nothing was claimed');
  for (const layer of stream.config.layers) {
    const { keys, g, b } = updateOf('x:1', 1);
    const place = { streamId: stream.id, seq: batch.seq, layer, sign: 1 as const, configHash: stream.configHash };
    await store.stageEntry({ ...place, keys, g, b, rDiagonal: [1], stats: {} }, 1);
  }
  await store.commitBatch(stream.id, batch.seq, { targets: 0, keys: 0, update: 0, total: 0 });
  return stream.id;
}

it('keeps chunks of snapshots in a bucket; what fails there leaves the earlier snapshot as it was', async () => {
  const streamId = await committed();
  const key = { streamId, seq: 1, kind: 'weights' as const, form: 'x' };
  const first = await store.saveSnapshot(key, [tensor(6, 1)]);
  expect(server.objects.size).toBe(2);
  expect([...server.objects.keys()][0]).toMatch(/^\/facts\/chunks\/[0-9a-f]{64}\//);

  const whole = async (forms: readonly string[] = ['x']) => {
    expect((await store.listSnapshots(streamId)).map(({ form }) => form)).toEqual(forms);
    expect(bytesOf(await store.readSnapshotTensor(first.snapshot.id, 'delta')).equals(bytesOf(tensor(6, 1)))).toBe(
      true,
    );
  };
  const faults = [
    { told: ['cut', 'cut'] as const, code: 'NOT_READY' },
    {
      told: [
        { status: 503, code: 'SlowDown' },
        { status: 503, code: 'SlowDown' },
      ] as const,
      code: 'NOT_READY',
    },
    { told: [{ status: 404, code: 'NoSuchBucket' }] as const, code: 'STORAGE_REFUSED' },
    { told: [{ status: 400, code: 'ExpiredToken' }] as const, code: 'STORAGE_REFUSED' },
  ];
  for (const { told, code } of faults) {
    server.faults.push(...told);
    await expect(store.saveSnapshot({ ...key, form: 'y' }, [tensor(6, 2)])).rejects.toMatchObject({ code });
    await whole();
  }
  // A bit that changed at rest is found by the hash of the chunk.
  const [path, held] = [...server.objects][0];
  server.objects.set(path, { ...held, body: Buffer.from(held.body).fill(1, 0, 1) });
  await expect(store.readSnapshotTensor(first.snapshot.id, 'delta')).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  server.objects.set(path, held);

  const second = await store.saveSnapshot({ ...key, form: 'y' }, [tensor(6, 2)]);
  expect(bytesOf(await store.readSnapshotTensor(second.snapshot.id, 'delta')).equals(bytesOf(tensor(6, 2)))).toBe(true);
  await whole(['x', 'y']);
});
