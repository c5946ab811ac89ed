import { tinyModel } from '@errata/model/testing';
import {
  connectModelRuntime,
  decodeTensor,
  encodeTensor,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type RunningServer,
  serve,
} from '@errata/rpc';
import { checkModelRuntime, modelRuntimeCases } from '@errata/rpc/conformance';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultLimits } from './config.js';
import { readCorpus } from './corpus.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { MemoryLog } from './testing/memory-log.js';
import { WorkQueue } from './work-queue.js';

const limits = { timeoutMs: 60_000 };
let server: RunningServer;
let runtime: ModelRuntime;
beforeAll(async () => {
  const model = tinyModel(await createEngine());
  const implementation = createService({
    model,
    name: 'tiny',
    corpus: readCorpus(),
    corpora: { readCorpus: () => Promise.reject(new Error('not part of this test')) },
    states: new StreamStates(model, new MemoryLog(model)),
    queue: new WorkQueue(),
    metrics: createMetrics(createRegistry('test')),
    limits: defaultLimits,
  });
  server = await serve('127.0.0.1:0', [
    { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
  ]);
  runtime = connectModelRuntime(server.address);
});
afterAll(async () => {
  runtime.close();
  await server.stop(100);
});

async function failures(of: ModelRuntime): Promise<{ names: string[]; reasons: string[]; count: number }> {
  const failed = [];
  let count = 0;
  for await (const result of checkModelRuntime(of, limits)) {
    count++;
    if (!result.pass) failed.push(result);
  }
  return { names: failed.map(({ name }) => name), reasons: failed.map(({ reason }) => reason ?? ''), count };
}

it('keeps the contract of model runtimes', async () => {
  const { reasons, count } = await failures(runtime);
  expect(reasons).toEqual([]);
  expect(count).toBe(modelRuntimeCases.length);
});

it('finds keys that depend on their company, targets beyond the clamp, texts that change, refusals that are missing', async () => {
  let calls = 0;
  const broken: ModelRuntime = {
    ...runtime,
    async computeKeys(request, callLimits) {
      const answer = await runtime.computeKeys(
        request.edits.length === 0
          ? { ...request, edits: [{ editId: 'e', prompt: 'a', subject: '', target: 'b' }] }
          : request,
        callLimits,
      );
      const keys = decodeTensor(answer.keys, 'keys');
      return { ...answer, keys: encodeTensor({ ...keys, data: keys.data.map((x) => x * (1 + 0.01 * keys.columns)) }) };
    },
    async *resolveTargets(request, callLimits) {
      for await (const message of runtime.resolveTargets(request, callLimits)) {
        if (message.event?.$case === 'result') {
          const targets = decodeTensor(message.event.result.targets, 'targets');
          message.event.result.targets = encodeTensor({ ...targets, data: targets.data.map((x) => 4 * x) });
        }
        yield message;
      }
    },
    async generate(request, callLimits) {
      const { texts } = await runtime.generate(request, callLimits);
      return { texts: texts.map((text) => `${text}${calls++}`) };
    },
  };
  const { names } = await failures(broken);
  expect(names).toEqual([
    'generate: greedy, one text a prompt, the same twice and in any company',
    'generate: ends before a stop string',
    'generate stream: the pieces are the unary text, tokens ascend, the last one says why it ended',
    'keys: alone as in a batch, to 0.001',
    'targets: within the clamp of the hidden state they change',
    'edits: a layer that does not exist, no edits, a blank prompt and a configuration that is none are refused',
  ]);
});

it('says so when nothing answers', async () => {
  const absent = connectModelRuntime('127.0.0.1:1');
  try {
    const results = [];
    for await (const result of checkModelRuntime(absent, { timeoutMs: 2000 })) results.push(result);
    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ name: modelRuntimeCases[0], pass: false });
    expect(results[0].reason).toMatch(/model-runtime 127\.0\.0\.1:1/);
  } finally {
    absent.close();
  }
});
