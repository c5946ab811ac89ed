import { request } from 'node:http';
import {
  chatCompletionChunkSchema,
  chatCompletionSchema,
  completionSchema,
  ErrataError,
  problemSchema,
} from '@errata/contracts';
import { FinishReason } from '@errata/rpc';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { call, makeStream, model, type RuntimeEvent, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
let usual: TestGateway['answering']['with'];
let stream: { id: string };
let at: string;

beforeAll(async () => {
  gateway = await startTestGateway();
  usual = gateway.answering.with;
  stream = await makeStream(gateway);
  at = `/v1/streams/${stream.id}`;
});
afterAll(() => gateway.stop());
beforeEach(() => {
  gateway.generated.length = 0;
  gateway.answering.with = usual;
});

const complete = (json: unknown, query = '') => call(gateway, 'POST', `${at}/completions${query}`, { json });
const chat = (json: unknown) => call(gateway, 'POST', `${at}/chat/completions`, { json });
const user = { role: 'user', content: 'Hi' };

/** The data of server-sent events, checked to be in their format. */
function dataOf(body: string): string[] {
  expect(body.endsWith('\n\n')).toBe(true);
  return body
    .slice(0, -2)
    .split('\n\n')
    .map((event) => {
      expect(event).toMatch(/^data: [^\n]*$/);
      return event.slice('data: '.length);
    });
}

const piece = (text: string, finish = FinishReason.FINISH_REASON_UNSPECIFIED): RuntimeEvent => ({
  $case: 'piece',
  piece: { choice: 0, text, tokens: 1, finish, logProbabilities: undefined },
});
const start: RuntimeEvent = { $case: 'start', start: { promptTokens: 1 } };

describe('completions', () => {
  test('the shape is that of OpenAI, the defaults are a greedy answer of 16 tokens', async () => {
    const { status, body } = await complete({ model: 'gpt-4o', prompt: 'The capital of France is', user: 'u', x: 1 });
    expect(status).toBe(200);
    expect(completionSchema.strict().parse(body)).toMatchObject({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: 'text_completion',
      model: model.name,
      seq: 0,
      choices: [{ index: 0, text: ' Paris', logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 6, completion_tokens: 2, total_tokens: 8 },
    });
    expect(Math.abs(body.created - Date.now() / 1000)).toBeLessThan(60);
    expect(gateway.generated).toEqual([
      {
        state: { streamId: stream.id, seq: 0, staged: [] },
        prompt: { $case: 'texts', texts: { texts: ['The capital of France is'] } },
        choices: 1,
        maxTokens: 16,
        stop: [],
        sampling: { temperature: 0, topP: 1, topK: 0, seed: undefined },
        topLogProbabilities: undefined,
      },
    ]);
  });

  test('at the head, a position or a checkpoint, in the body or the query', async () => {
    await gateway.store.createCheckpoint(stream.id, 'start');
    for (const [json, query] of [
      [{}, ''],
      [{ at: 0 }, ''],
      [{ at: 'start' }, ''],
      [{}, '?at=0'],
      [{}, '?at=start'],
      [{ at: 0 }, '?at=99'],
    ] as const)
      expect((await complete({ prompt: 'x', ...json }, query)).body.seq).toBe(0);
    expect(gateway.generated.map(({ state }) => state?.seq)).toEqual(Array(6).fill(0));
    expect((await complete({ prompt: 'x', at: 99 })).body.code).toBe('UNKNOWN_POSITION');
    expect((await complete({ prompt: 'x' }, '?at=99')).body.code).toBe('UNKNOWN_POSITION');
    expect((await complete({ prompt: 'x' }, '?at=nope')).body.code).toBe('UNKNOWN_CHECKPOINT');
  });

  test('sampling, stop, several prompts with several choices, log-probabilities', async () => {
    const json = {
      prompt: ['a', 'b'],
      n: 2,
      max_tokens: 7,
      temperature: 0.8,
      top_p: 0.9,
      top_k: 40,
      seed: -3,
      stop: '\n',
      logprobs: 1,
    };
    const { body } = await complete(json);
    expect(body.choices.map((c: { index: number; text: string }) => [c.index, c.text])).toEqual(
      [0, 1, 2, 3].map((index) => [index, ' Paris']),
    );
    expect(body.usage.completion_tokens).toBe(8);
    expect(body.choices[3].logprobs).toEqual({
      tokens: [' Par', 'is'],
      token_logprobs: [-0.5, -1.5],
      top_logprobs: [{ ' Par': -0.5 }, { is: -1.5 }],
      text_offset: [0, 4],
    });
    expect(gateway.generated[0]).toMatchObject({
      prompt: { texts: { texts: ['a', 'b'] } },
      choices: 2,
      maxTokens: 7,
      stop: ['\n'],
      sampling: { temperature: 0.8, topP: 0.9, topK: 40, seed: -3 },
      topLogProbabilities: 1,
    });
  });

  test('streamed: the pieces add up to the same text, then [DONE]', async () => {
    const { body: whole } = await complete({ prompt: 'a' });
    const answer = await complete({ prompt: 'a', stream: true, stream_options: { include_usage: true } });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const data = dataOf(answer.body);
    expect(data.pop()).toBe('[DONE]');
    const events = data.map((text) => completionSchema.strict().parse(JSON.parse(text)));
    expect(events.map(({ choices }) => choices[0]?.text)).toEqual([' Par', 'is', undefined]);
    expect(events.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, 'stop', undefined]);
    expect(events.map(({ usage }) => usage)).toEqual([null, null, whole.usage]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(1);
  });

  test('null means left out', async () => {
    const json = { prompt: 'a', max_tokens: null, temperature: null, stop: null, logprobs: null, echo: null, at: null };
    expect((await complete(json)).status).toBe(200);
  });
});

describe('chat completions', () => {
  test('messages reach the runtime as they are, parts of text joined', async () => {
    const { body } = await chat({
      model: 'm',
      messages: [
        { role: 'developer', content: 'Be brief.' },
        user,
        { role: 'assistant', content: null },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
      logprobs: true,
      tools: [],
      response_format: { type: 'text' },
    });
    expect(chatCompletionSchema.strict().parse(body)).toMatchObject({
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: ' Paris', refusal: null }, finish_reason: 'stop' }],
      usage: { total_tokens: 8 },
    });
    const bytes = [...Buffer.from('is')];
    expect(body.choices[0].logprobs.content[1]).toEqual({ token: 'is', logprob: -1.5, bytes, top_logprobs: [] });
    const [asked] = gateway.generated;
    expect(asked.maxTokens).toBe(0);
    expect(asked.prompt).toEqual({
      $case: 'chat',
      chat: {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: '' },
          { role: 'user', content: 'ab' },
        ],
      },
    });
  });

  test('streamed: the role first, then the text, then why it ended, choice by choice', async () => {
    const { body } = await chat({ messages: [user], n: 2, max_completion_tokens: 5, max_tokens: 9, stream: true });
    const data = dataOf(body);
    expect(data.pop()).toBe('[DONE]');
    const events = data.map((text) => chatCompletionChunkSchema.strict().parse(JSON.parse(text)));
    for (const index of [0, 1]) {
      const mine = events.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      expect(mine.map(({ delta }) => delta)).toEqual([
        { role: 'assistant', content: '' },
        { content: ' Par' },
        { content: 'is' },
        {},
      ]);
      expect(mine.map((choice) => choice.finish_reason)).toEqual([null, null, null, 'stop']);
    }
    expect(events.some((event) => 'usage' in event)).toBe(false);
    expect(gateway.generated[0].maxTokens).toBe(5);
  });
});

describe('what is refused', () => {
  test.each([
    ['completions', { prompt: '' }, 'prompt'],
    ['completions', { prompt: ['a', 3] }, 'prompt'],
    ['completions', {}, 'prompt'],
    ['completions', { prompt: 'a', temperature: 2.5 }, 'temperature'],
    ['completions', { prompt: 'a', top_p: 0 }, 'top_p'],
    ['completions', { prompt: 'a', n: 99 }, 'n'],
    ['completions', { prompt: 'a', max_tokens: 0 }, 'max_tokens'],
    ['completions', { prompt: 'a', stop: [''] }, 'stop[0]'],
    ['completions', { prompt: 'a', echo: true }, 'echo'],
    ['completions', { prompt: 'a', suffix: 'b' }, 'suffix'],
    ['completions', { prompt: 'a', best_of: 2 }, 'best_of'],
    ['completions', { prompt: 'a', presence_penalty: 1 }, 'presence_penalty'],
    ['completions', { prompt: 'a', logit_bias: { 50256: -100 } }, 'logit_bias'],
    ['chat/completions', { messages: [] }, 'messages'],
    ['chat/completions', { messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    ['chat/completions', { messages: [user], tools: [{ type: 'function' }] }, 'tools'],
    ['chat/completions', { messages: [user], response_format: { type: 'json_object' } }, 'response_format'],
    ['chat/completions', { messages: [user], frequency_penalty: 0.1 }, 'frequency_penalty'],
    [
      'chat/completions',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages[0].content',
    ],
  ])('%s %j', async (route, json, field) => {
    const { status, body, headers } = await call(gateway, 'POST', `${at}/${route}`, { json });
    expect(status).toBe(400);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(problemSchema.parse(body)).toMatchObject({
      code: 'INVALID_REQUEST',
      errors: [{ field }],
      error: { type: 'invalid_request_error', code: 'INVALID_REQUEST', param: field },
    });
    expect(body.error.message).toBe(body.detail);
    expect(gateway.generated).toEqual([]);
  });

  test('only on these routes do problems hold what clients of OpenAI read', async () => {
    expect((await call(gateway, 'GET', '/v1/streams/nope')).body.error).toBeUndefined();
    const { status, body } = await call(gateway, 'POST', '/v1/streams/nope/completions', { json: { prompt: 'a' } });
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: 'UNKNOWN_STREAM', param: null });
  });
});

describe('what goes wrong', () => {
  test('before the first piece it is an ordinary answer', async () => {
    gateway.answering.with = async function* () {
      yield* [];
      throw new ErrataError('NOT_READY', 'model-runtime is not reachable');
    };
    for (const stream of [false, true]) {
      const answer = await chat({ messages: [user], stream });
      expect(answer).toMatchObject({ status: 503, body: { code: 'NOT_READY', error: { type: 'server_error' } } });
    }
  });

  test('after it, it is the last event, and what is inside stays inside', async () => {
    gateway.answering.with = async function* () {
      yield start;
      yield piece('Par');
      throw new Error('password=hunter2');
    };
    const { status, body } = await complete({ prompt: 'a', stream: true });
    expect(status).toBe(200);
    const data = dataOf(body).map((text) => JSON.parse(text));
    expect(data[0].choices[0].text).toBe('Par');
    expect(data[1]).toMatchObject({ error: { type: 'server_error', code: 'INTERNAL', param: null } });
    expect(data).toHaveLength(2);
    expect(body).not.toContain('hunter2');
    expect(gateway.logged.at(-1)).toMatchObject({ level: 'error', fields: { path: `${at}/completions` } });
  });

  test('an answer that the runtime cuts off is an error, not a short answer', async () => {
    gateway.answering.with = async function* () {
      yield start;
      yield piece('Par');
    };
    expect((await complete({ prompt: 'a' })).status).toBe(500);
  });

  test('a client that goes away ends the generation', async () => {
    let ended: (aborted: boolean) => void = () => {};
    const over = new Promise<boolean>((resolve) => {
      ended = resolve;
    });
    gateway.answering.with = async function* (_request, signal) {
      yield start;
      yield piece('Par');
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      ended(signal.aborted);
      throw new ErrataError('CANCELLED', 'gone');
    };
    const text = await new Promise<string>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const asking = request(`${gateway.url}${at}/completions`, { method: 'POST', headers }, (response) => {
        response.once('data', (chunk: Buffer) => {
          asking.destroy();
          resolve(chunk.toString());
        });
        response.once('error', () => {});
      });
      asking.once('error', reject);
      asking.end(JSON.stringify({ prompt: 'a', stream: true }));
    });
    expect(text).toContain('Par');
    expect(await over).toBe(true);
    expect((await call(gateway, 'GET', at)).status).toBe(200);
  });
});
