import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExportManifest } from '@errata/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, makeStream, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
let stream: { id: string; name: string };
let exportDir: string;

beforeAll(async () => {
  exportDir = await mkdtemp(join(tmpdir(), 'errata-gateway-'));
  gateway = await startTestGateway({ exportDir });
  stream = await makeStream(gateway);
});
afterAll(async () => {
  await gateway.stop();
  await rm(exportDir, { recursive: true });
});

const post = (json: object) => call(gateway, 'POST', `/v1/streams/${stream.id}/exports`, { json });

const manifestOf = (files: ExportManifest['files']): ExportManifest => ({
  version: 1,
  format: 'peft',
  dtype: 'fp32',
  maxRank: 64,
  model: { id: 'm', name: 'm', architecture: 'llama' },
  stream: { id: stream.id, name: stream.name },
  seq: 0,
  logHash: 'h',
  configHash: 'c',
  layers: [],
  relativeError: 0,
  files,
});

describe('exports', () => {
  it('are stored, started and listed', async () => {
    const { status, body, headers } = await post({ format: 'safetensors', dtype: 'bf16', destination: 'model-1' });
    expect([status, body.status, body.dtype, body.seq]).toEqual([202, 'queued', 'bf16', 0]);
    expect(headers.get('location')).toBe(`/v1/streams/${stream.id}/exports/${body.id}`);
    expect(gateway.workflows.calls.at(-1)).toEqual({ name: 'startExport', args: [body.id] });
    const { body: listed } = await call(gateway, 'GET', `/v1/streams/${stream.name}/exports`);
    expect(listed.exports).toContainEqual(body);
    expect((await post({ format: 'peft', destination: 'model-1' })).body.code).toBe('EXPORT_EXISTS');
    const cancelled = await call(gateway, 'DELETE', `/v1/streams/${stream.id}/exports/${body.id}`);
    expect(cancelled.body.status).toBe('cancelled');
  });

  it.each([
    [{ format: 'zip' }, 'INVALID_REQUEST'],
    [{ format: 'gguf', dtype: 'bf16' }, 'INVALID_REQUEST'],
    [{ format: 'peft', maxRank: 0 }, 'INVALID_REQUEST'],
    [{ format: 'peft', seq: 0, checkpoint: 'a' }, 'INVALID_REQUEST'],
    [{ format: 'peft', seq: 7 }, 'UNKNOWN_POSITION'],
    [{ format: 'peft', checkpoint: 'none' }, 'UNKNOWN_CHECKPOINT'],
    [{ format: 'peft', destination: '../etc' }, 'INVALID_REQUEST'],
    [{ format: 'peft', destination: 'a/b' }, 'INVALID_REQUEST'],
    [{ format: 'peft', destination: '.hidden' }, 'INVALID_REQUEST'],
    [{ format: 'peft', destination: '/etc' }, 'INVALID_REQUEST'],
  ])('refuse %j as %s', async (json, code) => {
    const { status, body } = await post(json);
    expect([body.code, status < 500]).toEqual([code, true]);
  });

  it('fail visibly when they cannot be started', async () => {
    gateway.workflows.failure = new Error('Temporal is away');
    const { status } = await post({ format: 'peft' });
    gateway.workflows.failure = null;
    expect(status).toBe(500);
    const { body } = await call(gateway, 'GET', `/v1/streams/${stream.id}/exports`);
    expect(body.exports.at(-1)).toMatchObject({ status: 'failed' });
  });

  it('are downloaded by the names in their manifest and no others', async () => {
    const { body: made } = await post({ format: 'peft', destination: 'done-1' });
    const at = (file: string) => `/v1/streams/${stream.id}/exports/${made.id}/files/${file}`;
    expect((await call(gateway, 'GET', at('adapter_config.json'))).body.code).toBe('NOT_READY');
    await mkdir(join(exportDir, 'done-1'));
    await writeFile(join(exportDir, 'done-1', 'adapter_config.json'), '{}');
    await writeFile(join(exportDir, 'done-1', 'secret'), 'x');
    const files = [{ name: 'adapter_config.json', bytes: 2, sha256: '0'.repeat(64) }];
    await gateway.store.updateExport(made.id, { status: 'done', manifest: manifestOf(files) });
    const answer = await fetch(`${gateway.url}${at('adapter_config.json')}`);
    expect([answer.status, answer.headers.get('content-type'), await answer.text()]).toEqual([
      200,
      'application/octet-stream',
      '{}',
    ]);
    const part = await fetch(`${gateway.url}${at('adapter_config.json')}`, { headers: { range: 'bytes=1-' } });
    expect([part.status, await part.text()]).toEqual([206, '}']);
    for (const name of ['secret', '..%2Fdone-1%2Fsecret', '%2Fetc%2Fpasswd', 'adapter_config.json%2F..%2Fsecret'])
      expect([name, (await call(gateway, 'GET', at(name))).status]).toEqual([name, 404]);
    await rm(join(exportDir, 'done-1', 'adapter_config.json'));
    expect((await call(gateway, 'GET', at('adapter_config.json'))).body.code).toBe('UNKNOWN_EXPORT');
    const removed = await call(gateway, 'DELETE', `/v1/streams/${stream.id}/exports/${made.id}`);
    expect(removed.body).toMatchObject({ status: 'cancelled', detail: 'deleted', manifest: null });
  });
});

describe('publications', () => {
  it('are stored with their export, started, and shown with what aliases mean', async () => {
    const path = `/v1/streams/${stream.id}/publications`;
    const { status, body } = await call(gateway, 'POST', path, { json: { target: 'gpu', alias: 'support' } });
    expect([status, body.status, body.steps]).toEqual([202, 'running', []]);
    expect(gateway.workflows.calls.at(-1)).toEqual({ name: 'startPublication', args: [body.id] });
    expect((await call(gateway, 'GET', `${path}/${body.id}`)).body).toEqual(body);
    expect((await call(gateway, 'GET', path)).body.publications).toEqual([body]);
    expect((await call(gateway, 'GET', '/v1/aliases')).body).toEqual({ aliases: [] });
    await gateway.store.swapAlias('gpu', 'support', body.id, 0);
    expect((await call(gateway, 'GET', '/v1/aliases')).body.aliases).toMatchObject([
      { target: 'gpu', alias: 'support', loraName: body.loraName, version: 1 },
    ]);
    const kept = await call(gateway, 'DELETE', `/v1/streams/${stream.id}/exports/${body.exportId}`);
    expect(kept.body.status).toBe('cancelled');
  });
});
