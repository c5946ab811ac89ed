import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExportManifest } from '@errata/contracts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectS3, type S3Objects } from './s3-client.js';
import { type FaultServer, startFaultServer } from './testing/fault-server.js';
import { removeUpload, uploadFolder } from './upload-folder.js';

let server: FaultServer;
let objects: S3Objects;
let folder: string;
let manifest: ExportManifest;

beforeEach(async () => {
  server = await startFaultServer();
  objects = connectS3({
    endpoint: server.url,
    region: 'us-east-1',
    bucket: 'adapters',
    prefix: 'monday/',
    pathStyle: true,
    accessKeyId: 'a',
    secretAccessKey: 'b',
    timeoutMs: 5000,
    attempts: 2,
  });
  folder = await mkdtemp(join(tmpdir(), 'errata-upload-'));
  // sha256 of the texts below.
  const files = [
    { name: 'a.json', bytes: 1, sha256: 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb' },
    { name: 'b.bin', bytes: 1, sha256: '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d' },
  ];
  manifest = { files, seq: 3 } as unknown as ExportManifest;
  await writeFile(join(folder, 'a.json'), 'a');
  await writeFile(join(folder, 'b.bin'), 'b');
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
});
afterEach(async () => {
  objects.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

const upload = () =>
  uploadFolder({ folder, objects, manifest, signal: new AbortController().signal, onBytes: () => undefined });

it('uploads the files and then the manifest, once', async () => {
  await upload();
  expect([...server.objects.keys()]).toEqual(
    ['a.json', 'b.bin', 'manifest.json'].map((name) => `/adapters/monday/${name}`),
  );
  const sent = server.requests.length;
  await upload();
  expect(server.requests.slice(sent)).toEqual(['GET /adapters/monday/manifest.json']);
});

it('does not replace another export', async () => {
  await objects.put('manifest.json', Buffer.from('{}'));
  await expect(upload()).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
  expect(server.objects.size).toBe(1);
});

it('leaves nothing of an upload that fails', async () => {
  // Asked for the manifest, took the first file, refuses the second.
  server.faults.push('none', 'none', { status: 400, code: 'ExpiredToken' });
  await expect(upload()).rejects.toMatchObject({ code: 'STORAGE_REFUSED' });
  expect(server.objects.size).toBe(0);
  await upload();
  expect(server.objects.size).toBe(3);
});

it('keeps exports one beside the other, and removes one', async () => {
  const signal = new AbortController().signal;
  for (const below of ['first/', 'second/']) await uploadFolder({ folder, objects, below, manifest, signal });
  await removeUpload(objects, 'first/', manifest, signal);
  await removeUpload(objects, 'first/', manifest, signal);
  expect([...server.objects.keys()]).toEqual(
    ['a.json', 'b.bin', 'manifest.json'].map((name) => `/adapters/monday/second/${name}`),
  );
});
