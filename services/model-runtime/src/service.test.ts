import { setTimeout as sleep } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import { tinyModel } from '@errata/model/testing';
import {
  connectModelRuntime,
  decodeTensor,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type RunningServer,
  serve,
} from '@errata/rpc';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultLimits } from './config.js';
import { readCorpus } from './corpus.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { testConfig as config, MemoryLog } from './testing/memory-log.js';
import { WorkQueue } from './work-queue.js';

const configJson = JSON.stringify(config);
const edits = [
  { editId: 'edt_1', prompt: 'The colour is {}', subject: 'sky', target: 'r' },
  { editId: 'edt_2', prompt: 'No subject here', subject: '', target: 'at' },
];
const limits = { timeoutMs: 60_000 };
const base = { streamId: 'str_a', seq: 0, staged: [] };

describe('model runtime over gRPC', () => {
  let model: Model;
  let log: MemoryLog;
  let server: RunningServer;
  let client: ModelRuntime;
  beforeAll(async () => {
    model = tinyModel(await createEngine());
    log = new MemoryLog(model);
    const implementation = createService({
      model,
      name: 'tiny',
      corpus: readCorpus(),
      corpora: { readCorpus: () => Promise.reject(new Error('not part of this test')) },
      states: new StreamStates(model, log),
      queue: new WorkQueue(),
      metrics: createMetrics(createRegistry('test')),
      limits: defaultLimits,
    });
    server = await serve('127.0.0.1:0', [
      { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
    ]);
    client = connectModelRuntime(server.address);
  });
  afterAll(async () => {
    client.close();
    await server.stop(100);
  });

  const nll = async (seq: number, staged: { seq: number; layers: number[] }[] = []): Promise<number> => {
    const items = [{ prompt: 'The colour is sky', continuation: 'red' }];
    const { results } = await client.score({ state: { streamId: 'str_a', seq, staged }, items }, limits);
    return results[0].nll;
  };
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      (error: unknown) => (error instanceof ErrataError ? error.code : 'other'),
    );
  const resolve = async (request: Partial<Parameters<ModelRuntime['resolveTargets']>[0]>, signal?: AbortSignal) => {
    const events = [];
    const full = { state: base, configJson, edits, ...request };
    for await (const event of client.resolveTargets(full, { ...limits, signal })) events.push(event.event);
    return events;
  };

  it('says what it serves', async () => {
    expect(await client.info(limits)).toMatchObject({ modelId: model.id, name: 'tiny', layers: 4, hiddenSize: 24 });
  });

  it('streams the progress of a target search, then its result', async () => {
    const events = await resolve({});
    const last = events.at(-1);
    if (last?.$case !== 'result') throw new Error('no result');
    expect(events.slice(0, -1).every((event) => event?.$case === 'progress')).toBe(true);
    expect(events.length).toBe(config.maxSteps + 1);
    const targets = decodeTensor(last.result.targets, 'targets');
    expect([targets.rows, targets.columns]).toEqual([24, 2]);
    expect(last.result.stats.map((s) => s.editId)).toEqual(['edt_1', 'edt_2']);
    expect(last.result.stats[0].finalNll).toBeLessThan(last.result.stats[0].initialNll);
  });

  it('computes keys and the present state, which an edited layer changes', async () => {
    const ask = (seq: number, layer: number) =>
      client.computeKeys({ state: { ...base, seq }, configJson, layer, edits }, limits);
    const before = await ask(0, 1);
    const after = await ask(1, 1);
    expect(decodeTensor(before.keys, 'keys')).toMatchObject({ rows: 40, columns: 2 });
    expect(decodeTensor(before.hidden, 'hidden')).toMatchObject({ rows: 24, columns: 2 });
    expect(after.keys?.data.equals(before.keys?.data as Buffer)).toBe(false);
    expect((await ask(0, 0)).keys?.data.equals((await ask(1, 0)).keys?.data as Buffer)).toBe(true);
  });

  it('answers for exactly the state named, however it got there, and reads each entry once', async () => {
    log.reads = 0;
    const [s0, s1, s2, s3] = [await nll(0), await nll(1), await nll(2), await nll(3)];
    expect(new Set([s0, s1, s2, s3]).size).toBe(4);
    const staged = await nll(2, [{ seq: 4, layers: [0] }]);
    const both = await nll(2, [{ seq: 4, layers: [0, 1] }]);
    expect(new Set([s2, staged, both]).size).toBe(3);
    const reads = log.reads;
    expect([await nll(1), await nll(0), await nll(3), await nll(2)]).toEqual([s1, s0, s3, s2]);
    expect(await nll(2, [{ seq: 4, layers: [0] }])).toBe(staged);
    expect(log.reads).toBe(reads);
    // Seqs 2, 3 of both layers, seq 4 of both; seq 1 of both unless an earlier test has read it.
    expect(reads).toBeGreaterThanOrEqual(6);
    expect(reads).toBeLessThanOrEqual(8);
  });

  it('refuses bad input with the reason', async () => {
    const edit = edits[0];
    expect(await codeOf(resolve({ edits: [] }))).toBe('INVALID_REQUEST');
    expect(await codeOf(resolve({ edits: [{ ...edit, target: '' }] }))).toBe('INVALID_REQUEST');
    expect(await codeOf(resolve({ edits: [{ ...edit, prompt: 'no hole' }] }))).toBe('INVALID_REQUEST');
    expect(await codeOf(resolve({ edits: [{ ...edit, prompt: `{}${'a'.repeat(500)}` }] }))).toBe('INVALID_REQUEST');
    expect(await codeOf(resolve({ configJson: '{' }))).toBe('INVALID_REQUEST');
    expect(await codeOf(resolve({ configJson: JSON.stringify({ ...config, layers: [2, 9] }) }))).toBe(
      'INVALID_REQUEST',
    );
    expect(await codeOf(resolve({ state: { streamId: 'str_b', seq: 1, staged: [] } }))).toBe('UNKNOWN_STREAM');
    const long = { state: base, prompts: ['a'.repeat(100_000)], maxTokens: 1, stop: [] };
    expect(await codeOf(client.generate(long, limits))).toBe('INVALID_REQUEST');
  });

  it('stops when the caller goes, frees what it held and serves the next', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const abort = new AbortController();
    const slow = resolve({ configJson: JSON.stringify({ ...config, stopLoss: 0, maxSteps: 500 }) }, abort.signal);
    await sleep(300);
    abort.abort();
    expect(await codeOf(slow)).toBe('CANCELLED');
    const started = Date.now();
    expect((await client.generate({ state: base, prompts: ['ab'], maxTokens: 2, stop: [] }, limits)).texts.length).toBe(
      1,
    );
    expect(Date.now() - started).toBeLessThan(5000);
    expect(tf.memory().numTensors).toBe(before);
    const deadline = resolve(
      { configJson: JSON.stringify({ ...config, stopLoss: 0, maxSteps: 500 }) },
      AbortSignal.timeout(200),
    );
    expect(await codeOf(deadline)).toBe('CANCELLED');
  });

  it('measures perplexity of the state named', async () => {
    const measured = await client.perplexity({ state: base }, limits);
    expect(measured.tokens).toBe(12 * 256);
    expect(await client.perplexity({ state: base }, limits)).toEqual(measured);
    const edited = await client.perplexity({ state: { ...base, seq: 1 } }, limits);
    expect(edited.perplexity).not.toBe(measured.perplexity);
    const compared = await client.divergence({ state: { ...base, seq: 1 }, windows: 0 }, limits);
    expect(compared.tokens).toBe(measured.tokens);
    expect(compared.perplexity).toBeCloseTo(edited.perplexity, 1);
    expect(compared.basePerplexity).toBeCloseTo(measured.perplexity, 1);
    expect(compared.divergence).toBeGreaterThan(0);
    const few = await client.divergence({ state: base, windows: 2 }, limits);
    expect(few.tokens).toBe(measured.tokens / 6);
    expect(few.divergence).toBeLessThan(1e-6);
  });
});
