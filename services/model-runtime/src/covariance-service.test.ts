import { ErrataError } from '@errata/contracts';
import { createLayout, embed, forward, logits, type Model, sampleSequences, secondMoments } from '@errata/model';
import { tinyModel } from '@errata/model/testing';
import {
  type CovarianceSource,
  connectModelRuntime,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type PlanCovarianceRequest,
  type RunningServer,
  serve,
  TensorAssembler,
} from '@errata/rpc';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultLimits } from './config.js';
import { covarianceSequences, readCorpus } from './corpus.js';
import { createMetrics } from './metrics.js';
import { createService, type ServiceParts } from './service.js';
import { WorkQueue } from './work-queue.js';

const limits = { timeoutMs: 60_000 };
const corpus = readCorpus();
const texts = new Map([[`crp_${'a'.repeat(64)}`, 'The owl is a bird of the night. '.repeat(700)]]);
const corpora: ServiceParts['corpora'] = {
  async readCorpus(id) {
    const text = texts.get(id);
    if (text === undefined) throw new ErrataError('UNKNOWN_CORPUS', `no corpus ${id}`);
    return text;
  },
};
const builtIn: CovarianceSource = { kind: { $case: 'builtIn', builtIn: true } };
const sampled = (modelSeed: number): CovarianceSource => ({ kind: { $case: 'modelSeed', modelSeed } });
const text = (id: string): CovarianceSource => ({ kind: { $case: 'corpus', corpus: id } });
const pause = async () => undefined;

let model: Model;
let server: RunningServer;
let client: ModelRuntime;

beforeAll(async () => {
  model = tinyModel(await createEngine());
  ({ server, client } = await start());
});
afterAll(async () => {
  client.close();
  await server.stop(100);
});

async function start() {
  const implementation = createService({
    model,
    name: 'tiny',
    corpus,
    corpora,
    states: { at: () => Promise.reject(new Error('not part of this test')) } as unknown as ServiceParts['states'],
    queue: new WorkQueue(),
    metrics: createMetrics(createRegistry('test')),
    limits: defaultLimits,
  });
  const running = await serve('127.0.0.1:0', [
    { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
  ]);
  return { server: running, client: connectModelRuntime(running.address) };
}

const request = (source: CovarianceSource, tokens: number): PlanCovarianceRequest => ({
  modelId: model.id,
  source,
  tokens,
});

async function slice(from: ModelRuntime, plan: PlanCovarianceRequest, index: number, layers = [1, 2]) {
  const { corpusId } = await from.planCovariance(plan, limits);
  const assemblers = new Map<number, TensorAssembler>();
  const progress: number[] = [];
  let tokens = 0;
  for await (const { event } of from.covariance({ plan, corpusId, layers, slice: index }, limits)) {
    if (event?.$case === 'progress') progress.push(event.progress.tokensDone);
    if (event?.$case === 'summary') tokens = event.summary.tokens;
    if (event?.$case !== 'chunk') continue;
    const assembler = assemblers.get(event.chunk.layer) ?? new TensorAssembler(event.chunk);
    assembler.add(event.chunk);
    assemblers.set(event.chunk.layer, assembler);
  }
  return { tokens, progress, means: layers.map((layer) => assemblers.get(layer)!.matrix().data) };
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof ErrataError ? error.code : String(error)),
  );

it('cuts the built-in corpus into slices whose weighted mean is the whole’s', async () => {
  const asked = request(builtIn, 20_000);
  const plan = await client.planCovariance(asked, limits);
  expect(plan).toMatchObject({ dimension: 40, slices: 3 });
  expect(plan.tokens).toBeGreaterThanOrEqual(20_000);
  const slices = [await slice(client, asked, 0), await slice(client, asked, 1), await slice(client, asked, 2)];
  expect(slices.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(plan.tokens);
  expect(slices[0].tokens).toBe(8192);
  expect(slices[0].progress.at(-1)).toBe(8192);
  const { sequences } = await covarianceSequences(model.tokenizer, corpus, 20_000);
  const whole = (await secondMoments(model, sequences, [1, 2])).moments;
  for (const [place, layer] of [1, 2].entries()) {
    const expected = whole.get(layer)!;
    for (let row = 0, at = 0; row < 40; row++)
      for (let column = 0; column <= row; column++, at++) {
        const mean = slices.reduce((sum, { tokens, means }) => sum + tokens * means[place][at], 0) / plan.tokens;
        expect(mean).toBeCloseTo(expected[row * 40 + column], 5);
      }
  }
});

it('gives a slice the same bits whoever computes it, whatever came before and with other layers', async () => {
  const second = await start();
  for (const asked of [request(builtIn, 9000), request(sampled(3), 9000), request(text([...texts.keys()][0]), 9000)]) {
    const a = await slice(client, asked, 1);
    if (asked.source?.kind?.$case === 'builtIn') await slice(second.client, asked, 0);
    const b = await slice(second.client, asked, 1, [2]);
    expect(Buffer.from(b.means[0].buffer).equals(Buffer.from(a.means[1].buffer))).toBe(true);
  }
  second.client.close();
  await second.server.stop(100);
});

it('samples by the model’s own distribution', async () => {
  const { tf } = model.engine;
  const layout = createLayout(tf, model.config, [{ first: 0, count: 1 }]);
  const { hidden } = await forward(model, embed(model, [model.sinkId]), layout);
  const scores = await logits(model, hidden).data<'float32'>();
  layout.dispose();
  const weights = Array.from(scores, (score, id) => (model.tokenizer.endIds.has(id) ? 0 : Math.exp(score)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const count = 8000;
  const drawn = new Map<number, number>();
  for (const [id] of await sampleSequences(model, { first: 0, count, length: 1, seed: 4, pause }))
    drawn.set(id, (drawn.get(id) ?? 0) + 1);
  const distance = weights.reduce((sum, w, id) => sum + Math.abs(w / total - (drawn.get(id) ?? 0) / count), 0) / 2;
  const fromUniform = weights.reduce((sum, w) => sum + Math.abs(w / total - 1 / weights.length), 0) / 2;
  expect(distance).toBeLessThan(0.1);
  expect(fromUniform).toBeGreaterThan(0.2);
});

it('samples from the model itself by seed, without end tokens', async () => {
  const options = { first: 0, count: 40, length: 50, seed: 1, pause };
  const rows = await sampleSequences(model, options);
  expect(rows.map((ids) => ids.length)).toEqual(new Array(40).fill(50));
  expect(await sampleSequences(model, options)).toEqual(rows);
  expect(await sampleSequences(model, { ...options, seed: 2 })).not.toEqual(rows);
  expect((await sampleSequences(model, { ...options, first: 32, count: 8 }))[0]).toEqual(rows[32]);
  expect(rows.flat().some((id) => model.tokenizer.endIds.has(id))).toBe(false);
  expect(new Set(rows.map((ids) => ids.join())).size).toBe(40);
  const one = await client.planCovariance(request(sampled(1), 9000), limits);
  const other = await client.planCovariance(request(sampled(2), 9000), limits);
  expect(one.corpusId).not.toBe(other.corpusId);
  expect(one.tokens).toBe(71 * 128);
});

it('frees what it held', async () => {
  const { tf } = model.engine;
  const before = tf.memory().numTensors;
  await slice(client, request(sampled(5), 1000), 0);
  await slice(client, request(builtIn, 1000), 0);
  const { corpusId } = await client.planCovariance(request(sampled(5), 100_000), limits);
  const aborted = client.covariance(
    { plan: request(sampled(5), 100_000), corpusId, layers: [1], slice: 0 },
    { ...limits, signal: AbortSignal.timeout(300) },
  );
  expect(
    await codeOf(
      (async () => {
        for await (const _ of aborted);
      })(),
    ),
  ).toBe('CANCELLED');
  expect((await client.planCovariance(request(builtIn, 1000), limits)).tokens).toBe(1024);
  expect(tf.memory().numTensors).toBe(before);
});

it('refuses what it cannot give, by name', async () => {
  const plan = request(builtIn, 1000);
  expect(await codeOf(client.planCovariance({ ...plan, modelId: 'other' }, limits))).toBe('UNKNOWN_MODEL');
  expect(await codeOf(client.planCovariance({ ...plan, source: undefined }, limits))).toBe('INVALID_REQUEST');
  expect(await codeOf(client.planCovariance({ ...plan, tokens: 0 }, limits))).toBe('INVALID_REQUEST');
  expect(await codeOf(client.planCovariance(request(builtIn, 50_000_000), limits))).toBe('INVALID_REQUEST');
  expect(await codeOf(client.planCovariance(request(sampled(0), 50_000_000), limits))).toBe('INVALID_REQUEST');
  expect(await codeOf(client.planCovariance(request(text(`crp_${'b'.repeat(64)}`), 1000), limits))).toBe(
    'UNKNOWN_CORPUS',
  );
  expect(await codeOf(client.planCovariance(request(text([...texts.keys()][0]), 30_000), limits))).toBe(
    'INVALID_REQUEST',
  );
  const ask = (changes: object) =>
    codeOf(
      (async () => {
        const { corpusId } = await client.planCovariance(plan, limits);
        for await (const _ of client.covariance({ plan, corpusId, layers: [1], slice: 0, ...changes }, limits));
      })(),
    );
  expect(await ask({})).toBe('none');
  expect(await ask({ slice: 1 })).toBe('INVALID_REQUEST');
  expect(await ask({ layers: [] })).toBe('INVALID_REQUEST');
  expect(await ask({ layers: [4] })).toBe('INVALID_REQUEST');
  expect(await ask({ corpusId: 'changed' })).toBe('INVALID_REQUEST');
});
