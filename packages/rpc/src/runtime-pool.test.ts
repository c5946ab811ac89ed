import { afterEach, expect, test } from 'vitest';
import type { StateRef } from './generated/errata/v1/tensor.js';
import {
  connectModelRuntimes,
  type InfoResponse,
  type MemberState,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type RunningServer,
  type ScoreRequest,
  serve,
} from './index.js';
import { until } from './testing/until.js';

const limits = { timeoutMs: 5000 };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const info = {
  name: 'm',
  architecture: 'llama',
  layers: 1,
  hiddenSize: 1,
  intermediateSize: 1,
  vocabularySize: 1,
  engine: 'none',
  contextLength: 1,
};

interface Served {
  server: RunningServer;
  readonly streams: string[];
  /** Ends the searches under way. */
  readonly finish: (() => void)[];
}

/** A server that answers like a runtime and notes whose requests it had. */
async function startRuntime(modelId = 'one', address = '127.0.0.1:0'): Promise<Served> {
  const streams: string[] = [];
  const finish: (() => void)[] = [];
  const note = ({ state }: { state?: StateRef | undefined }) => void streams.push(state?.streamId ?? '');
  const implementation = {
    info: (_: unknown, reply: (error: null, info: InfoResponse) => void) => reply(null, { ...info, modelId }),
    score: ({ request }: { request: ScoreRequest }, reply: (error: null, response: { results: never[] }) => void) => {
      note(request);
      reply(null, { results: [] });
    },
    resolveTargets: (call: {
      request: { state?: StateRef };
      write: (message: unknown) => void;
      end: () => void;
      on: (event: 'cancelled', listener: () => void) => void;
    }) => {
      note(call.request);
      call.write({ progress: { step: 1, steps: 2, finishedEdits: 0, meanLoss: 1 } });
      finish.push(() => call.end());
      // Else the end comes with the death of the server, as it does in the middle of a search.
    },
  };
  const server = await serve(address, [
    {
      name: 'errata.v1.ModelRuntimeService',
      definition: ModelRuntimeServiceService,
      implementation: implementation as never,
    },
  ]);
  return { server, streams, finish };
}

async function pool(...served: Served[]) {
  const changes: { address: string; state: MemberState; reason: string }[] = [];
  const runtime: ModelRuntime = connectModelRuntimes(
    served.map(({ server }) => server.address),
    { intervalMs: 20, onChange: (address, state, reason) => changes.push({ address, state, reason }) },
  );
  cleanUps.push(() => runtime.close());
  return { runtime, changes };
}

const state = (streamId: string): StateRef => ({ streamId, seq: 1, staged: [] });
const names = Array.from({ length: 32 }, (_, i) => `str_${i}`);
const scoreAll = async (runtime: ModelRuntime): Promise<void> => {
  for (const name of names) await runtime.score({ state: state(name), items: [] }, limits);
};

test('each stream keeps to one runtime, and both have some', async () => {
  const [a, b] = [await startRuntime(), await startRuntime()];
  cleanUps.push(
    () => a.server.stop(),
    () => b.server.stop(),
  );
  const { runtime } = await pool(a, b);
  await scoreAll(runtime);
  await scoreAll(runtime);
  expect(new Set(a.streams).size + new Set(b.streams).size).toBe(names.length);
  expect([...a.streams, ...b.streams].length).toBe(2 * names.length);
  expect(Math.min(new Set(a.streams).size, new Set(b.streams).size)).toBeGreaterThan(names.length / 8);
});

test('the streams of a runtime that is gone go to another, and return with it; a search in the middle fails at once', async () => {
  const [a, b] = [await startRuntime(), await startRuntime()];
  cleanUps.push(
    () => a.server.stop(),
    () => b.server.stop(),
  );
  const { runtime, changes } = await pool(a, b);
  await scoreAll(runtime);
  const home = [...a.streams];
  const search = runtime.resolveTargets({ state: state(home[0]), configJson: '{}', edits: [] }, limits);
  const messages = search[Symbol.asyncIterator]();
  expect((await messages.next()).done).toBe(false);
  const { address } = a.server;
  await Promise.all([
    a.server.stop(),
    expect(messages.next()).rejects.toMatchObject({ code: expect.stringMatching(/NOT_READY|INTERNAL|DEADLINE/) }),
  ]);
  await until(() => changes.some((change) => change.address === address && change.state === 'down'));
  const others = b.streams.length;
  for (const name of home) await runtime.score({ state: state(name), items: [] }, limits);
  expect(b.streams.slice(others)).toEqual(home);

  const again = await startRuntime('one', address);
  a.server = again.server;
  await until(() => changes.at(-1)?.address === address && changes.at(-1)?.state === 'up');
  await scoreAll(runtime);
  expect(again.streams).toEqual(home);
});

test('a runtime of another model counts as down and is told so', async () => {
  const a = await startRuntime('one');
  cleanUps.push(() => a.server.stop());
  const b = await startRuntime('two');
  cleanUps.push(() => b.server.stop());
  const { runtime, changes } = await pool(a, b);
  await until(() => changes.some(({ state }) => state === 'down'));
  const down = changes.find(({ state }) => state === 'down');
  expect(down?.reason).toMatch(/serves the model (one|two) \(m\), the others (one|two): give all the same file/);
  await scoreAll(runtime);
  const [served, refused] = down?.address === a.server.address ? [b, a] : [a, b];
  expect(served.streams).toEqual(names);
  expect(refused.streams).toEqual([]);
});

test('with no runtime left the error names all of them', async () => {
  const runtime = connectModelRuntimes(['127.0.0.1:1', '127.0.0.1:2'], { intervalMs: 10, onChange: () => {} });
  cleanUps.push(() => runtime.close());
  const failure = async () => {
    try {
      await runtime.score({ state: state('str_1'), items: [] }, limits);
    } catch (error) {
      return String(error);
    }
    return '';
  };
  for (let i = 0; i < 200 && !(await failure()).includes('none of the model runtimes'); i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(await failure()).toContain('none of the model runtimes answers: 127.0.0.1:1, 127.0.0.1:2');
});

test('runtimes that DNS names come and go; a search on one that leaves goes on', async () => {
  const [a, b] = [await startRuntime(), await startRuntime()];
  cleanUps.push(
    () => a.server.stop(0),
    () => b.server.stop(0),
  );
  const named = ({ server }: Served) => ({ name: '127.0.0.1', port: Number(server.address.split(':')[1]) });
  let servers = [named(a)];
  const changes: string[] = [];
  const runtime = connectModelRuntimes(['dnssrv+_grpc._tcp.runtimes'], {
    intervalMs: 20,
    discoveryMs: 20,
    resolver: { serversOf: async () => servers, addressesOf: async () => [] },
    onChange: (address, state) => changes.push(`${address} ${state}`),
  });
  cleanUps.push(() => runtime.close());
  await expect(runtime.score({ state: state('str_1'), items: [] }, limits)).rejects.toMatchObject({
    code: 'NOT_READY',
    message: expect.stringContaining('dnssrv+_grpc._tcp.runtimes'),
  });
  await until(() => changes.includes(`${a.server.address} up`));
  await scoreAll(runtime);
  expect(a.streams).toEqual(names);
  const search = runtime.resolveTargets({ state: state(names[0]), configJson: '{}', edits: [] }, limits);
  const messages = search[Symbol.asyncIterator]();
  expect((await messages.next()).done).toBe(false);

  servers = [named(a), named(b)];
  await until(() => changes.includes(`${b.server.address} up`));
  await scoreAll(runtime);
  expect(b.streams.length).toBeGreaterThan(names.length / 8);
  servers = [named(b)];
  await until(() => changes.includes(`${a.server.address} left`));
  const before = b.streams.length;
  await scoreAll(runtime);
  expect(b.streams.slice(before)).toEqual(names);
  for (const finish of a.finish) finish();
  expect((await messages.next()).done).toBe(true);
});
