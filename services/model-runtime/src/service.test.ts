import { setTimeout as sleep } from 'node:timers/promises';
import { type EditorConfig, ErrataError, type Stream } from '@errata/contracts';
import type { Model } from '@errata/model';
import { generator, tinyModel } from '@errata/model/testing';
import {
  connectModelRuntime,
  decodeTensor,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type RunningServer,
  serve,
  TensorAssembler,
} from '@errata/rpc';
import type { Matrix, Store, StoredLogEntry } from '@errata/store';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCorpus } from './corpus.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { WorkQueue } from './work-queue.js';

const config: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}'],
  learningRate: 1,
  maxSteps: 8,
  stopLoss: 0.1,
  clamp: 5,
  klWeight: 0.0625,
  weightDecay: 0.001,
};
const configJson = JSON.stringify(config);
const edits = [
  { editId: 'edt_1', prompt: 'The colour is {}', subject: 'sky', target: 'r' },
  { editId: 'edt_2', prompt: 'No subject here', subject: '', target: 'at' },
];
const limits = { timeoutMs: 60_000 };
const base = { streamId: 'str_a', seq: 0, staged: [] };

/** A log in memory: two batches on the lineage, a third beside the second, a fourth staged for one layer. */
class MemoryLog implements Pick<Store, 'getStream' | 'lineage' | 'readEntries'> {
  reads = 0;
  readonly parents = new Map([
    [1, 0],
    [2, 1],
    [3, 1],
  ]);

  constructor(private readonly model: Model) {}

  async getStream(id: string): Promise<Stream> {
    if (id !== 'str_a') throw new ErrataError('UNKNOWN_STREAM', `no stream ${id}`);
    return { config, modelId: this.model.id } as Stream;
  }

  async lineage(_: string, seq: number, known?: number): Promise<{ seqs: number[]; forked: boolean }> {
    const seqs: number[] = [];
    for (let at = seq; at > 0; at = this.parents.get(at) ?? 0) seqs.unshift(at);
    const at = known === undefined ? -1 : seqs.indexOf(known);
    return at >= 0 ? { seqs: seqs.slice(at + 1), forked: false } : { seqs, forked: true };
  }

  async readEntries(streamId: string, layer: number, seqs: readonly number[]): Promise<StoredLogEntry[]> {
    this.reads += seqs.length;
    return seqs.map((seq) => {
      const random = generator(100 * seq + layer);
      const matrix = (rows: number): Matrix => ({
        rows,
        columns: 2,
        data: Float32Array.from({ length: rows * 2 }, () => (random() - 0.5) / 2),
      });
      const g = matrix(this.model.config.intermediateSize);
      const b = matrix(this.model.config.hiddenSize);
      const rest = { sign: 1 as const, rDiagonal: [], stats: {}, configHash: '', previousHash: '', hash: '' };
      return { streamId, seq, layer, keys: g, g, b, ...rest };
    });
  }
}

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
      states: new StreamStates(model, log),
      queue: new WorkQueue(),
      metrics: createMetrics(createRegistry('test')),
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

  it('streams the second moments of the corpus in chunks', async () => {
    const assemblers = new Map<number, TensorAssembler>();
    let progress = 0;
    let summary = { tokens: 0, corpusId: '' };
    for await (const { event } of client.covariance({ layers: [1, 2], tokens: 2000 }, limits)) {
      if (event?.$case === 'progress') progress++;
      if (event?.$case === 'summary') summary = event.summary;
      if (event?.$case !== 'chunk') continue;
      const assembler = assemblers.get(event.chunk.layer) ?? new TensorAssembler(event.chunk);
      assembler.add(event.chunk);
      assemblers.set(event.chunk.layer, assembler);
    }
    expect(progress).toBeGreaterThan(0);
    expect(summary.tokens).toBe(2048);
    expect(summary.corpusId).toMatch(/^[0-9a-f]{64}$/);
    for (const layer of [1, 2]) {
      const { rows, data } = assemblers.get(layer)?.matrix() ?? { rows: 0, data: new Float32Array() };
      expect(rows).toBe(40);
      for (let i = 0; i < rows; i++) {
        expect(data[i * rows + i]).toBeGreaterThan(0);
        for (let j = 0; j < i; j++) {
          expect(data[i * rows + j]).toBeCloseTo(data[j * rows + i], 5);
          expect(Math.abs(data[i * rows + j])).toBeLessThanOrEqual(
            Math.sqrt(data[i * rows + i] * data[j * rows + j]) * 1.0001,
          );
        }
      }
    }
  });

  it('measures perplexity of the state named', async () => {
    const measured = await client.perplexity({ state: base }, limits);
    expect(measured.tokens).toBe(12 * 256);
    expect(await client.perplexity({ state: base }, limits)).toEqual(measured);
    const edited = await client.perplexity({ state: { ...base, seq: 1 } }, limits);
    expect(edited.perplexity).not.toBe(measured.perplexity);
  });
});
