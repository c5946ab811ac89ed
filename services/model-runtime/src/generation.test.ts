import { ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import { tinyModel } from '@errata/model/testing';
import {
  connectModelRuntime,
  FinishReason,
  type GenerateStreamRequest,
  type GenerateStreamResponse,
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
import { MemoryLog, testConfig } from './testing/memory-log.js';
import { WorkQueue } from './work-queue.js';

const limits = { timeoutMs: 60_000 };
const at = (seq: number) => ({ streamId: 'str_a', seq, staged: [] });
const template =
  '{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}';
const edits = [{ editId: 'edt_1', prompt: 'The colour is {}', subject: 'sky', target: 'r' }];

type Piece = Extract<GenerateStreamResponse['event'], { $case: 'piece' }>['piece'];

function serving(model: Model): Promise<RunningServer> {
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
  return serve('127.0.0.1:0', [
    { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
  ]);
}

describe('generation over gRPC', () => {
  let model: Model;
  let server: RunningServer;
  let client: ModelRuntime;
  beforeAll(async () => {
    model = { ...tinyModel(await createEngine()), chatTemplate: template };
    server = await serving(model);
    client = connectModelRuntime(server.address);
  });
  afterAll(async () => {
    client.close();
    await server.stop(100);
  });

  const request = (changes: Partial<GenerateStreamRequest> = {}): GenerateStreamRequest => ({
    state: at(0),
    prompt: { $case: 'texts', texts: { texts: ['ab'] } },
    choices: 1,
    maxTokens: 8,
    stop: [],
    ...changes,
  });
  const chat = (...contents: string[]): GenerateStreamRequest['prompt'] => ({
    $case: 'chat',
    chat: { messages: contents.map((content) => ({ role: 'user', content })) },
  });
  async function* pieces(changes: Partial<GenerateStreamRequest>, signal?: AbortSignal): AsyncGenerator<Piece> {
    for await (const { event } of client.generateStream(request(changes), { ...limits, signal }))
      if (event?.$case === 'piece') yield event.piece;
  }
  const all = async (changes: Partial<GenerateStreamRequest>): Promise<Piece[]> => {
    const found: Piece[] = [];
    for await (const piece of pieces(changes)) found.push(piece);
    return found;
  };
  const textOf = (found: readonly Piece[], choice = 0) =>
    found.flatMap((piece) => (piece.choice === choice ? [piece.text] : [])).join('');
  const unary = async (seq: number, prompt = 'ab') =>
    (await client.generate({ state: at(seq), prompts: [prompt], maxTokens: 8, stop: [] }, limits)).texts[0];
  const refusal = (changes: Partial<GenerateStreamRequest>): Promise<unknown> =>
    all(changes).then(
      () => 'none',
      (error: unknown) => (error instanceof ErrataError ? `${error.code}: ${error.message}` : error),
    );

  it('streams the text that comes whole, at the state named, and counts tokens', async () => {
    const events: GenerateStreamResponse['event'][] = [];
    for await (const { event } of client.generateStream(request({ state: at(1) }), limits)) events.push(event);
    expect(events[0]).toEqual({ $case: 'start', start: { promptTokens: 3 } });
    const found = await all({ state: at(1) });
    expect(found.map(({ tokens }) => tokens)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(found.at(-1)?.finish).toBe(FinishReason.FINISH_REASON_LENGTH);
    expect(found[0].finish).toBe(FinishReason.FINISH_REASON_UNSPECIFIED);
    expect(textOf(found)).toBe(await unary(1));
    expect(await unary(1)).not.toBe(await unary(0));
  });

  it('samples by seed, with choices, a stop string and log-probabilities', async () => {
    const sampling = { temperature: 1.5, topP: 0.95, topK: 0, seed: 9 };
    const texts = { $case: 'texts' as const, texts: { texts: ['ab', 'cd'] } };
    const drawn = await all({ sampling, choices: 2, prompt: texts, topLogProbabilities: 3 });
    expect(await all({ sampling, choices: 2, prompt: texts, topLogProbabilities: 3 })).toEqual(drawn);
    expect(new Set([0, 1, 2, 3].map((choice) => textOf(drawn, choice))).size).toBe(4);
    const { chosen, top } = drawn[0].logProbabilities ?? { chosen: undefined, top: [] };
    expect(chosen?.token.length).toBe(1);
    expect(top.map(({ logProbability }) => logProbability)).toEqual(
      top.map(({ logProbability }) => logProbability).sort((a, b) => b - a),
    );
    expect(top).toHaveLength(3);
    const whole = await client.generate(
      { state: at(0), prompts: ['ab'], maxTokens: 8, stop: [], sampling: { ...sampling, temperature: 0 } },
      limits,
    );
    expect(whole.texts[0]).toBe(await unary(0));
    const text = await unary(0);
    const cut = await all({ stop: [text.slice(2, 4)] });
    expect(textOf(cut)).toBe(text.slice(0, text.indexOf(text.slice(2, 4))));
    expect(cut.at(-1)?.finish).toBe(FinishReason.FINISH_REASON_STOP);
  });

  it('makes the prompt of a conversation with the template of the model', async () => {
    expect(textOf(await all({ prompt: chat('Hi', 'there') }))).toBe(
      await unary(0, '<user>Hi\n<user>there\n<assistant>'),
    );
  });

  it('goes as far as the context where no number of tokens is given', async () => {
    const found = await all({ maxTokens: 0, prompt: { $case: 'texts', texts: { texts: ['x'.repeat(290)] } } });
    expect(found.at(-1)).toMatchObject({ tokens: 300 - 291, finish: FinishReason.FINISH_REASON_LENGTH });
  });

  it('refuses with the reason', async () => {
    expect(await refusal({ prompt: undefined })).toMatch(/^INVALID_REQUEST: .*neither/);
    expect(await refusal({ prompt: chat() })).toMatch(/^INVALID_REQUEST: .*no messages/);
    expect(await refusal({ prompt: chat('x'.repeat(400)) })).toMatch(/^INVALID_REQUEST: .*context/);
    expect(await refusal({ choices: 65 })).toMatch(/^INVALID_REQUEST: .*at most 64/);
    expect(await refusal({ topLogProbabilities: 21 })).toMatch(/^INVALID_REQUEST: .*at most 20/);
    expect(await refusal({ sampling: { temperature: -1, topP: 0, topK: 0 } })).toMatch(/^INVALID_REQUEST: .*-1/);
    expect(await refusal({ state: { ...at(1), streamId: 'str_b' } })).toMatch(/^UNKNOWN_STREAM/);
  });

  it('says so when the model has no chat template', async () => {
    const other = await serving({ ...model, chatTemplate: null });
    const asking = connectModelRuntime(other.address);
    try {
      const call = asking.generateStream(request({ prompt: chat('Hi') }), limits)[Symbol.asyncIterator]();
      await expect(call.next()).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining('no chat template'),
      });
    } finally {
      asking.close();
      await other.stop(100);
    }
  });

  it('interleaves generations of several states with each other, each with the text of its own', async () => {
    const order: number[] = [];
    const seqs = [0, 1, 2, 3];
    const texts = await Promise.all(
      seqs.map(async (seq) => {
        const found: Piece[] = [];
        for await (const piece of pieces({ state: at(seq) })) {
          order.push(seq);
          found.push(piece);
        }
        return textOf(found);
      }),
    );
    // All have begun before any has ended.
    expect(new Set(order.slice(0, 12))).toEqual(new Set(seqs));
    for (const seq of seqs) expect(texts[seq]).toBe(await unary(seq));
  });

  it('keeps neither an edit nor a generation waiting for the other to end', async () => {
    const order: string[] = [];
    const config = { ...testConfig, stopLoss: 0 };
    const resolve = async (name: string, state: GenerateStreamRequest['state'], maxSteps: number) => {
      const configJson = JSON.stringify({ ...config, maxSteps });
      for await (const { event } of client.resolveTargets({ state, configJson, edits }, limits))
        if (event?.$case === 'result') order.push(name);
    };
    const long = pieces({ maxTokens: 250, state: at(1) });
    await long.next();
    const text = async () => {
      const found: Piece[] = [];
      for await (const piece of long) found.push(piece);
      order.push('long generation');
      return textOf(found);
    };
    const [rest] = await Promise.all([text(), resolve('edit', at(2), 2)]);
    expect(order).toEqual(['edit', 'long generation']);
    expect(rest.startsWith((await unary(1)).slice(1))).toBe(true);

    order.length = 0;
    const short = async () => {
      await all({ maxTokens: 3, state: at(3) });
      order.push('short generation');
    };
    await Promise.all([resolve('long edit', at(1), 400), short()]);
    expect(order).toEqual(['short generation', 'long edit']);
  });

  it('ends when the caller goes, and frees what it held', async () => {
    const { tf } = model.engine;
    for (const seq of [0, 1]) await unary(seq);
    const before = tf.memory().numTensors;
    const gone = new AbortController();
    let seen = 0;
    const reading = (async () => {
      for await (const _ of pieces({ maxTokens: 250, state: at(1) }, gone.signal)) if (++seen === 3) gone.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    await unary(1);
    await expect.poll(() => tf.memory().numTensors).toBe(before);
    for await (const _ of pieces({ maxTokens: 250 })) break;
    await unary(1);
    await expect.poll(() => tf.memory().numTensors).toBe(before);
  });
});
