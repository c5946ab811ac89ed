import { ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import { tinyModel } from '@errata/model/testing';
import {
  connectModelRuntime,
  decodeTensor,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type ResolveTargetsRequest,
  type RunningServer,
  serve,
} from '@errata/rpc';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { defaultLimits } from './config.js';
import { readCorpus } from './corpus.js';
import { createMetrics, type RuntimeMetrics } from './metrics.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { testConfig as config, MemoryLog } from './testing/memory-log.js';
import { WorkQueue } from './work-queue.js';

const limits = { timeoutMs: 60_000 };
const streams = Array.from({ length: 16 }, (_, i) => `str_${i}`);
const subjects = ['sky', 'sea', 'snow', 'sand'];

let model: Model;
let queue: WorkQueue;
let metrics: RuntimeMetrics;
let server: RunningServer;
let client: ModelRuntime;
let states: StreamStates;

beforeEach(async () => {
  model = tinyModel(await createEngine());
  await start();
});
afterEach(async () => {
  client.close();
  await server.stop(100);
  states.dispose();
});

async function start(changes: Partial<typeof defaultLimits> = {}): Promise<void> {
  queue = new WorkQueue();
  metrics = createMetrics(createRegistry('test'));
  states = new StreamStates(model, new MemoryLog(model, streams));
  const implementation = createService({
    model,
    name: 'tiny',
    corpus: readCorpus(),
    corpora: { readCorpus: () => Promise.reject(new Error('not part of this test')) },
    ...{ states, queue, metrics },
    limits: { ...defaultLimits, ...changes },
  });
  server = await serve('127.0.0.1:0', [
    { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
  ]);
  client = connectModelRuntime(server.address);
}

const request = (stream: number, changes: Partial<ResolveTargetsRequest> = {}): ResolveTargetsRequest => ({
  state: { streamId: streams[stream], seq: 2, staged: [] },
  configJson: JSON.stringify(config),
  edits: [
    { editId: `edt_${stream}`, prompt: 'The colour of {} is', subject: subjects[stream % 4], target: `r${stream}` },
  ],
  ...changes,
});

async function resolve(message: ResolveTargetsRequest, signal?: AbortSignal) {
  let progress = 0;
  for await (const { event } of client.resolveTargets(message, { ...limits, signal })) {
    if (event?.$case === 'progress') progress++;
    if (event?.$case === 'result') {
      const { data } = decodeTensor(event.result.targets, 'targets');
      return { z: Float64Array.from(data), stats: event.result.stats, progress };
    }
  }
  throw new Error('no result');
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof ErrataError ? error.code : String(error)),
  );

/** Holds the engine until `release`, so that requests gather; resolves when `count` of them wait. */
async function hold(): Promise<{ release: () => void; waiting: (count: number) => Promise<void> }> {
  let release = (): void => undefined;
  const held = new Promise<void>((done) => {
    release = done;
  });
  void queue.run(new AbortController().signal, () => held);
  return {
    release,
    async waiting(count) {
      while (queue.waiting < count) await new Promise((done) => setImmediate(done));
    },
  };
}

async function joined(): Promise<{ searches: number; requests: number }> {
  const { values } = await metrics.targetRequests.get();
  const value = (suffix: string): number => values.find(({ metricName }) => metricName?.endsWith(suffix))?.value ?? 0;
  return { searches: value('_count'), requests: value('_sum') };
}

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, i) => value - b[i])) / Math.hypot(...b);

// Adam divides by the gradient's own size: where that is next to nothing, the order of a sum in fp32 decides its sign.
const tolerance = 2e-3;

it('answers sixteen streams that wait at once with one search, each by its own weights', async () => {
  const alone = [];
  for (const stream of streams.keys()) alone.push(await resolve(request(stream)));
  expect(await joined()).toEqual({ searches: 16, requests: 16 });
  const engine = await hold();
  const together = streams.map((_, stream) => resolve(request(stream)));
  await engine.waiting(16);
  engine.release();
  for (const [stream, found] of (await Promise.all(together)).entries()) {
    expect(found.stats[0].editId).toBe(`edt_${stream}`);
    expect(found.stats[0].steps).toBe(alone[stream].stats[0].steps);
    expect(found.progress).toBe(alone[stream].progress);
    expect(distance(found.z, alone[stream].z)).toBeLessThan(tolerance);
  }
  expect(await joined()).toEqual({ searches: 17, requests: 32 });
  expect(queue.waiting).toBe(0);
  // Had a stream been answered by another's weights, or by none, it would be nowhere near.
  for (const [stream, { z }] of alone.entries()) {
    const other = alone[(stream + 4) % 16].z;
    expect(distance(z, other)).toBeGreaterThan(10 * tolerance);
  }
});

it('holds one base for all streams: memory grows by their factors alone', async () => {
  const { tf } = model.engine;
  const { hiddenSize, intermediateSize } = model.config;
  const score = (stream: number) =>
    client.score(
      { state: request(stream).state, items: [{ prompt: 'The colour is sky', continuation: 'red' }] },
      limits,
    );
  const before = tf.memory();
  const nlls = [];
  for (const stream of streams.keys()) nlls.push((await score(stream)).results[0].nll);
  const after = tf.memory();
  // Two batches of two columns in each of two layers, G and B, fp32.
  const factors = 2 * 4 * (hiddenSize + intermediateSize) * 4;
  expect(after.numBytes - before.numBytes).toBe(16 * factors);
  expect(after.numTensors - before.numTensors).toBe(16 * 2 * 2);
  expect(new Set(nlls).size).toBe(16);
  for (const stream of [...streams.keys()].reverse()) expect((await score(stream)).results[0].nll).toBe(nlls[stream]);
  expect(tf.memory().numBytes).toBe(after.numBytes);
});

it('lets one that is refused or whose caller goes fall out, and answers the others', async () => {
  const { tf } = model.engine;
  const alone = [await resolve(request(0)), await resolve(request(1))];
  for (const stream of [2, 3, 4, 5]) await resolve(request(stream));
  const before = tf.memory().numTensors;
  const gone = new AbortController();
  const late = new AbortController();
  const engine = await hold();
  const endless = { configJson: JSON.stringify({ ...config, stopLoss: 0, maxSteps: 500 }) };
  const work = [
    resolve(request(2, endless), late.signal),
    resolve(request(0)),
    resolve(request(3), gone.signal),
    resolve(request(4, { state: { streamId: 'str_none', seq: 1, staged: [] } })),
    resolve(request(5, { edits: [{ editId: 'edt_x', prompt: `{}${'a'.repeat(500)}`, subject: 'b', target: 'c' }] })),
    resolve(request(1)),
  ];
  const codes = Promise.all(work.map(codeOf));
  await engine.waiting(6);
  gone.abort();
  await engine.waiting(5);
  engine.release();
  // Those with few steps are answered while the endless one still runs.
  for (const [i, place] of [1, 5].entries())
    expect(distance((await work[place]).z, alone[i].z)).toBeLessThan(tolerance);
  late.abort();
  expect(await codes).toEqual(['CANCELLED', 'none', 'CANCELLED', 'UNKNOWN_STREAM', 'INVALID_REQUEST', 'none']);
  expect((await resolve(request(1))).z).toEqual(alone[1].z);
  expect(tf.memory().numTensors).toBe(before);
});

it('does not join searches with other last layers, and runs work in between in its turn', async () => {
  const engine = await hold();
  const ended: string[] = [];
  const note = (name: string) => () => void ended.push(name);
  const higher = { configJson: JSON.stringify({ ...config, layers: [1, 2] }) };
  const work: Promise<unknown>[] = [];
  for (const [place, begin] of [
    () => resolve(request(0)).then(note('a')),
    () => resolve(request(1, higher)).then(note('b')),
    // Waits for e, which came later: without a turn for e before its own this would never end.
    () => queue.run(new AbortController().signal, () => work[4].then(note('c'))),
    () => resolve(request(2)).then(note('d')),
    () => resolve(request(3, higher)).then(note('e')),
  ].entries()) {
    work.push(begin());
    await engine.waiting(place + 1);
  }
  engine.release();
  await Promise.all(work);
  expect(await joined()).toEqual({ searches: 2, requests: 4 });
  expect(ended.slice(0, 2).sort().join('')).toBe('ad');
  expect(ended.slice(2, 4).sort().join('')).toBe('be');
  expect(ended[4]).toBe('c');
});

it('joins no more than it is told to', async () => {
  client.close();
  await server.stop(100);
  await start({ requests: 1 });
  const alone = await resolve(request(0));
  const engine = await hold();
  const work = [resolve(request(0)), resolve(request(1)), resolve(request(2))];
  await engine.waiting(3);
  engine.release();
  const [first] = await Promise.all(work);
  expect(first.z).toEqual(alone.z);
  expect(await joined()).toEqual({ searches: 4, requests: 4 });
});

it('refuses an edit that does not fit into its memory', async () => {
  client.close();
  await server.stop(100);
  await start({ memoryBytes: 1_000_000 });
  expect(await codeOf(resolve(request(0)))).toBe('none');
  const long = [{ editId: 'edt_x', prompt: '{} is', subject: 'sky', target: 'a'.repeat(200) }];
  expect(await codeOf(resolve(request(1, { edits: long })))).toBe('OUT_OF_MEMORY');
});
