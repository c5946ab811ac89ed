import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExportManifest, Publication, Stream } from '@errata/contracts';
import { type FaultServer, startFaultServer } from '@errata/objects/testing';
import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connectTargets, type Publishing, type PublishTarget, publishTargetSchema } from '../publishing/target.js';
import { startLoraServer, type TestLoraServer } from '../testing/lora-server.js';
import { committedStream, type Setting, settingOn } from '../testing/setting.js';
import type { Dependencies } from './context.js';
import { beginPublication, fallBack, loadAdapter, moveAlias, verifyAdapter } from './publish.js';

let database: TestDatabase;
let store: Store;
let setting: Setting;
let stream: Stream;
let bucket: FaultServer;
let server: TestLoraServer;
let exportDir: string;
let parts: Dependencies;
let publications = 0;
const { signal } = new AbortController();

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  setting = settingOn(store);
  stream = await committedStream(store);
});
afterAll(async () => {
  setting.fleet.close();
  await store.close();
  await database.stop();
});

beforeEach(async () => {
  bucket = await startFaultServer();
  server = await startLoraServer((_, adapter) => (adapter === null ? ' what it was' : ' x'));
  exportDir = await mkdtemp(join(tmpdir(), 'errata-publish-'));
  parts = { ...setting, runtime, publishing: publishingTo({}) };
});
afterEach(async () => {
  for (const objects of parts.publishing.objects?.values() ?? []) objects.close();
  await server.close();
  await bucket.stop();
  await rm(exportDir, { recursive: true });
});

const runtime = {
  tokenize: async ({ texts }: { texts: string[] }) => ({ texts: texts.map((text) => ({ ids: [0, text.length] })) }),
  generate: async ({ prompts }: { prompts: string[] }) => ({ texts: prompts.map(() => ' x') }),
} as unknown as Dependencies['runtime'];

function publishingTo(more: Partial<PublishTarget>): Publishing {
  const targets = [{ name: 'gpu', url: server.url, objects: 's3://adapters/errata', ...more }];
  const env = {
    ...{ EXPORT_S3_ENDPOINT: bucket.url, EXPORT_S3_ATTEMPTS: '2' },
    ...{ AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
  };
  return { targets, exportDir, objects: connectTargets(targets, env) };
}

/** An export that the model runtime has written. */
async function exported(): Promise<Publication> {
  const request = { streamId: stream.id, seq: 1, target: 'gpu', samples: 2, tolerance: 0 };
  const alias = `alias-${publications++}`;
  const made = await store.createPublication({ ...request, alias, dtype: 'fp32', maxRank: 64 });
  // sha256 of "a".
  const sha256 = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb';
  const files = [{ name: 'adapter_model.safetensors', bytes: 1, sha256 }];
  const manifest = { version: 1, layers: [{ rank: 3 }], relativeError: 0, files } as unknown as ExportManifest;
  await store.updateExport(made.exportId, { status: 'done', manifest });
  const folder = join(exportDir, made.exportId);
  await mkdir(folder);
  await writeFile(join(folder, 'adapter_model.safetensors'), 'a');
  await writeFile(join(folder, 'manifest.json'), JSON.stringify({ of: made.exportId }));
  return made;
}

const keysOf = ({ exportId }: Publication) =>
  ['adapter_model.safetensors', 'manifest.json'].map((name) => `/adapters/errata/${exportId}/${name}`);

async function published(made: Publication): Promise<void> {
  const args = { publicationId: made.id };
  const { version } = await beginPublication(parts, args);
  await loadAdapter(parts, args, signal);
  await verifyAdapter(parts, args, signal);
  await moveAlias(parts, { ...args, version });
}

it('uploads an export once and names it as the server sees the bucket', async () => {
  parts = { ...parts, publishing: publishingTo({ exportDir: '/mnt/adapters' }) };
  const made = await exported();
  await published(made);
  await published(made);
  expect([...bucket.objects.keys()]).toEqual(keysOf(made));
  expect(bucket.requests.filter((request) => request.startsWith('PUT'))).toHaveLength(2);
  expect(server.loaded).toEqual(new Map([[made.loraName, `/mnt/adapters/${made.exportId}`]]));
  const { steps } = await store.getPublication(made.id);
  expect(steps.map(({ step }) => step)).toEqual(['export', 'upload', 'load', 'verify', 'alias']);
  expect(steps[1].detail).toEqual({ address: `s3://adapters/errata/${made.exportId}` });
});

it('names it by its address where nothing says how the server sees the bucket', async () => {
  const made = await exported();
  await published(made);
  expect(server.loaded).toEqual(new Map([[made.loraName, `s3://adapters/errata/${made.exportId}`]]));
});

it('says what to do where the server cannot read the bucket, and takes the upload back', async () => {
  const made = await exported();
  const args = { publicationId: made.id };
  server.misbehave = { refuseLoad: 'folder' };
  const refusal = (message: RegExp) => ({ code: 'PUBLISH_REFUSED', message: expect.stringMatching(message) });
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject(refusal(/reads no s3:\/\/ addresses/));
  expect([...bucket.objects.keys()]).toEqual(keysOf(made));
  await fallBack(parts, { ...args, detail: 'refused' }, signal);
  await fallBack(parts, { ...args, detail: 'refused' }, signal);
  expect(bucket.objects.size).toBe(0);
  parts = { ...parts, publishing: publishingTo({ exportDir: '/mnt/adapters' }) };
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject(refusal(/does not see .* as \/mnt\/adapters/));
});

it('goes through a passing fault of the storage, and fails by name otherwise with nothing loaded', async () => {
  const made = await exported();
  const args = { publicationId: made.id };
  const slow = { status: 503, code: 'SlowDown' };
  bucket.faults.push(slow, slow);
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject({ code: 'NOT_READY' });
  bucket.faults.push({ status: 404, code: 'NoSuchBucket' });
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject({ code: 'STORAGE_REFUSED' });
  expect([server.loaded.size, bucket.objects.size]).toEqual([0, 0]);
  bucket.faults.push('cut');
  await loadAdapter(parts, args, signal);
  expect([...bucket.objects.keys()]).toEqual(keysOf(made));
});

it('refuses an orchestrator that does not see the exports', async () => {
  const made = await exported();
  const args = { publicationId: made.id };
  await rm(join(exportDir, made.exportId), { recursive: true });
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject({
    code: 'PUBLISH_REFUSED',
    message: expect.stringContaining('share the disk'),
  });
  parts = { ...parts, publishing: { ...parts.publishing, exportDir: undefined } };
  await expect(loadAdapter(parts, args, signal)).rejects.toMatchObject({
    code: 'PUBLISH_REFUSED',
    message: expect.stringContaining('EXPORT_DIR'),
  });
});

it('reads addresses and credentials when it starts', () => {
  const target = { name: 'gpu', url: 'http://10.0.0.7:8000' };
  expect(publishTargetSchema.safeParse({ ...target, objects: '/mnt/adapters' }).success).toBe(false);
  const targets = [publishTargetSchema.parse({ ...target, objects: 's3://adapters/errata' })];
  expect(() => connectTargets(targets, {})).toThrow('EXPORT_S3_ACCESS_KEY_ID');
  expect(connectTargets([target], {}).size).toBe(0);
});
