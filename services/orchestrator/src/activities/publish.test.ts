import type { ExportManifest, Publication, Stream } from '@errata/contracts';
import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { guardedRequest } from '../publishing/guarded-request.js';
import { startLoraServer, type TestLoraServer } from '../testing/lora-server.js';
import { committedStream, type Setting, settingOn } from '../testing/setting.js';
import type { Dependencies } from './context.js';
import { beginPublication, fallBack, loadAdapter, moveAlias, unloadPrevious, verifyAdapter } from './publish.js';

let database: TestDatabase;
let store: Store;
let setting: Setting;
let parts: Dependencies;
let server: TestLoraServer;
let stream: Stream;
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

/** Tokens are characters here; the edited model answers "x" to everything, the unedited one something else. */
const ids = (text: string): number[] => [0, ...[...text].map((char) => char.charCodeAt(0))];

beforeEach(async () => {
  server = await startLoraServer((prompt, adapter) => {
    expect(prompt[0]).toBe(0);
    return adapter === null ? ' what it was' : ' x, as the stream says';
  });
  const runtime = {
    tokenize: async ({ texts }: { texts: string[] }) => ({ texts: texts.map((text) => ({ ids: ids(text) })) }),
    generate: async ({ prompts }: { prompts: string[] }) => ({ texts: prompts.map(() => ' x, as the stream says') }),
  } as unknown as Dependencies['runtime'];
  const publishing = { targets: [{ name: 'gpu', url: server.url, exportDir: '/there' }] };
  parts = { ...setting, runtime, publishing };
});
afterEach(() => server.close());

async function exported(alias = `alias-${publications++}`): Promise<Publication> {
  const request = { streamId: stream.id, seq: 1, target: 'gpu', alias, samples: 2, tolerance: 0 };
  const made = await store.createPublication({ ...request, dtype: 'fp32', maxRank: 64 });
  const manifest = { version: 1, layers: [{ rank: 3 }], relativeError: 0, files: [] } as unknown as ExportManifest;
  await store.updateExport(made.exportId, { status: 'done', manifest });
  return made;
}

async function published(made: Publication): Promise<void> {
  const args = { publicationId: made.id };
  const { version, previous } = await beginPublication(parts, args);
  await loadAdapter(parts, args, signal);
  await verifyAdapter(parts, args, signal);
  await moveAlias(parts, { ...args, version });
  if (previous !== null) await unloadPrevious(parts, { ...args, loraName: previous }, signal);
}

it('loads, verifies, moves the alias and unloads the adapter before, each step once', async () => {
  const first = await exported();
  await published(first);
  expect(server.loaded).toEqual(new Map([[first.loraName, `/there/${first.exportId}`]]));
  const second = await exported(first.alias);
  await published(second);
  await published(second);
  expect([...server.loaded.keys()]).toEqual([second.loraName]);
  const { steps } = await store.getPublication(second.id);
  expect(steps.map(({ step }) => step)).toEqual(['export', 'load', 'verify', 'alias', 'unload']);
  expect(steps[2].detail).toEqual({ samples: 2, streamRight: 2, serverRight: 2 });
  expect(await store.getAlias('gpu', first.alias)).toMatchObject({ version: 2, loraName: second.loraName });
});

it('takes an adapter for loaded whose answer was lost', async () => {
  const made = await exported();
  server.misbehave = { loseLoadAnswer: true };
  await expect(loadAdapter(parts, { publicationId: made.id }, signal)).rejects.toMatchObject({ code: 'NOT_READY' });
  await loadAdapter(parts, { publicationId: made.id }, signal);
  expect(server.calls.filter((path) => path === 'load_lora_adapter').length).toBe(1);
});

it('refuses a server that does not answer as the stream does, and takes the adapter out again', async () => {
  const first = await exported();
  await published(first);
  const second = await exported(first.alias);
  const args = { publicationId: second.id };
  await loadAdapter(parts, args, signal);
  server.misbehave = { ignoreAdapters: true };
  await expect(verifyAdapter(parts, args, signal)).rejects.toMatchObject({
    code: 'PUBLISH_UNVERIFIED',
    message: expect.stringContaining('answers 0 of 2 edits'),
  });
  await fallBack(parts, { ...args, detail: 'not verified' }, signal);
  await fallBack(parts, { ...args, detail: 'not verified' }, signal);
  expect([...server.loaded.keys()]).toEqual([first.loraName]);
  expect((await store.getPublication(second.id)).steps.at(-1)).toMatchObject({
    step: 'fallback',
    detail: { serving: first.loraName },
  });
});

it('says whether trying again can help', async () => {
  const { id } = await exported();
  server.misbehave = { busy: 1 };
  await expect(loadAdapter(parts, { publicationId: id }, signal)).rejects.toMatchObject({ code: 'NOT_READY' });
  server.misbehave = {};
  await server.close();
  await expect(loadAdapter(parts, { publicationId: id }, signal)).rejects.toMatchObject({ code: 'NOT_READY' });
});

it('knows no servers but those configured, follows no redirect and connects to no forbidden address', async () => {
  const { id } = await store.createPublication({
    streamId: stream.id,
    seq: 1,
    target: 'elsewhere',
    alias: 'a',
    samples: 1,
    tolerance: 0,
    dtype: 'fp32',
    maxRank: 1,
  });
  await expect(beginPublication(parts, { publicationId: id })).rejects.toMatchObject({ code: 'UNKNOWN_TARGET' });
  const bait = await startLoraServer(() => '');
  server.misbehave = { redirect: `${bait.url}/v1/models` };
  const call = { method: 'GET', path: 'v1/models', timeoutMs: 5000, signal } as const;
  expect((await guardedRequest({ name: 'gpu', url: server.url }, call)).status).toBe(307);
  expect(bait.calls).toEqual([]);
  const port = new URL(server.url).port;
  for (const url of [
    'http://169.254.169.254/',
    'http://[::ffff:169.254.169.254]/',
    'http://0.0.0.0/',
    'http://[fe80::1]/',
  ])
    await expect(guardedRequest({ name: 'gpu', url }, call)).rejects.toMatchObject({ code: 'PUBLISH_REFUSED' });
  const pinned = { name: 'gpu', url: `http://localhost:${port}/`, addresses: ['10.1.2.3'] };
  await expect(guardedRequest(pinned, call)).rejects.toMatchObject({ code: 'PUBLISH_REFUSED' });
  await bait.close();
});

it.each(['nested', 'flat'] as const)('says what to do about each refusal of vLLM (%s errors)', async (form) => {
  const other = await startLoraServer(() => ' x', form);
  const publishing = { targets: [{ name: 'gpu', url: other.url, exportDir: '/there' }] };
  const { id, loraName } = await exported();
  const args = { publicationId: id };
  for (const [refuseLoad, advice] of [
    ['route', 'VLLM_ALLOW_RUNTIME_LORA_UPDATING'],
    ['folder', 'exportDir'],
    ['rank', '--max-lora-rank'],
  ] as const) {
    other.misbehave = { refuseLoad };
    await expect(loadAdapter({ ...parts, publishing }, args, signal)).rejects.toMatchObject({
      code: 'PUBLISH_REFUSED',
      message: expect.stringContaining(advice),
    });
  }
  // Somebody else loaded it under this name between the look and the call: it is there, which is what was wanted.
  other.misbehave = {};
  other.loaded.set(loraName, '/there/elsewhere');
  await loadAdapter({ ...parts, publishing }, args, signal);
  // And what is gone already is unloaded.
  other.loaded.delete(loraName);
  await fallBack({ ...parts, publishing }, { ...args, detail: 'x' }, signal);
  await other.close();
});
