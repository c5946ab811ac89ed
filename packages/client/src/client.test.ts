import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Edit, ErrataError, type Stream } from '@errata/contracts';
import { afterEach, expect, test } from 'vitest';
import { createClient, isSettled, toNdjson } from './index.js';

const id = (prefix: string, n = 0) => `${prefix}_${n.toString(16).padStart(32, '0')}`;
const at = '2026-01-01T00:00:00.000Z';

const stream: Stream = {
  id: id('str'),
  name: 'facts',
  modelId: 'm',
  modelName: 'tiny',
  config: {
    layers: [1],
    lambda: 1,
    mu: 1,
    covarianceWeight: 1,
    covarianceTokens: 1000,
    batchSize: 1,
    templates: ['{}'],
    learningRate: 1,
    maxSteps: 1,
    stopLoss: 1,
    clamp: 1,
    klWeight: 0,
    weightDecay: 0,
  },
  configHash: 'c',
  status: 'ready',
  statusDetail: null,
  origin: null,
  head: 0,
  headHash: 'h',
  createdAt: at,
  counts: {},
};

const edit = (n: number, changes: Partial<Edit>): Edit => ({
  id: id('edt', n),
  streamId: stream.id,
  ordinal: n,
  subject: null,
  prompt: 'a',
  target: 'b',
  paraphrases: [],
  neighbours: [],
  source: null,
  tags: [],
  importance: 1,
  status: 'queued',
  reason: null,
  seq: null,
  column: null,
  baseline: null,
  answer: null,
  mergedFrom: null,
  adapter: null,
  expiresAt: null,
  createdAt: at,
  updatedAt: at,
  ...changes,
});

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** A server on loopback; `requests` collects what arrived. */
async function serve(listener: RequestListener) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** An address where nothing listens any more. */
async function deadAddress(): Promise<string> {
  const { baseUrl } = await serve(() => {});
  stops.pop()!();
  return baseUrl;
}

const problem = (code: string, status: number, retryable: boolean, errors?: object[]) =>
  JSON.stringify({ type: 'urn:x', title: 't', status, detail: `detail of ${code}`, code, retryable, errors });

test('problem+json becomes the error it was, with its details', async () => {
  const { baseUrl, requests } = await serve((_request, response) =>
    response
      .writeHead(400, { 'content-type': 'application/problem+json' })
      .end(problem('MALFORMED_NDJSON', 400, false, [{ line: 3, field: 'target', message: 'must not be empty' }])),
  );
  const error = await createClient({ baseUrl })
    .submitNdjson('facts', 'x')
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ErrataError);
  expect(error).toMatchObject({
    code: 'MALFORMED_NDJSON',
    message: 'detail of MALFORMED_NDJSON',
    details: [{ line: 3, field: 'target', message: 'must not be empty' }],
  });
  expect(requests).toHaveLength(1);
});

test('a passing failure is tried again with the same idempotency key', async () => {
  let count = 0;
  const { baseUrl, requests } = await serve((_request, response) => {
    count++;
    if (count < 3) response.writeHead(503).end(problem('NOT_READY', 503, true));
    else response.writeHead(202).end(JSON.stringify({ edits: [] }));
  });
  expect(await createClient({ baseUrl }).submitEdits('facts', [{ prompt: 'a', target: 'b' }])).toEqual({ edits: [] });
  const keys = requests.map((request) => request.headers['idempotency-key']);
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
});

test('what must not happen twice is not tried again', async () => {
  const { baseUrl, requests } = await serve((_request, response) =>
    response.writeHead(503).end(problem('NOT_READY', 503, true)),
  );
  const client = createClient({ baseUrl });
  await expect(client.startEvaluation('facts')).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  await expect(client.createCheckpoint('facts', 'a')).rejects.toMatchObject({ code: 'NOT_READY' });
  expect(requests).toHaveLength(2);
});

test('an API that is not there is named, and the retries end', async () => {
  const baseUrl = await deadAddress();
  const client = createClient({ baseUrl, retries: 1 });
  await expect(client.listStreams()).rejects.toMatchObject({
    code: 'NOT_READY',
    message: `The API at ${baseUrl} is not reachable: ECONNREFUSED`,
  });
});

test('an answer that breaks the contract is refused, and so is another server', async () => {
  const { baseUrl } = await serve((request, response) => {
    if (request.url === '/v1/streams') response.end(JSON.stringify({ streams: [{ ...stream, head: 'x' }] }));
    else response.writeHead(404).end('<h1>nginx</h1>');
  });
  const client = createClient({ baseUrl });
  await expect(client.listStreams()).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringMatching(/head/),
  });
  await expect(client.listModels()).rejects.toMatchObject({
    retryable: false,
    message: expect.stringMatching(/is this the address of an Errata API/),
  });
});

test('a signal ends a call and the pause between two', async () => {
  const { baseUrl } = await serve(() => {});
  const client = createClient({ baseUrl });
  await expect(client.listStreams({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: 'CANCELLED' });
  const unreachable = createClient({ baseUrl: await deadAddress() });
  const start = performance.now();
  await expect(unreachable.listStreams({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
    code: 'CANCELLED',
  });
  expect(performance.now() - start).toBeLessThan(1000);
});

test('waits until every edit is settled, page by page', async () => {
  const states: Partial<Edit>[][] = [
    [{ status: 'queued' }, { status: 'queued' }],
    [{ status: 'applied' }, { status: 'rejected' }],
    [{ status: 'applied', answer: 'wrong' }, { status: 'rejected' }],
  ];
  let round = -1;
  const { baseUrl } = await serve((request, response) => {
    const url = new URL(request.url!, 'http://x');
    if (!url.pathname.endsWith('/edits')) {
      round++;
      response.end(JSON.stringify(stream));
      return;
    }
    const after = Number(url.searchParams.get('after'));
    const edits = [edit(after + 1, states[round][after] ?? {})];
    response.end(JSON.stringify({ edits, next: after + 1 < 2 ? after + 1 : null }));
  });
  const seen: number[] = [];
  const submitted = [1, 2].map((n) => ({ id: id('edt', n), ordinal: n, status: 'queued' as const, reason: null }));
  const edits = await createClient({ baseUrl }).waitForEdits('facts', submitted, {
    pollMs: 1,
    onProgress: ({ settled, total }) => seen.push(settled / total),
  });
  expect(edits.map((e) => e.status)).toEqual(['applied', 'rejected']);
  expect(seen).toEqual([0, 0.5, 1]);
});

test('waiting on a failed stream ends with its reason', async () => {
  const { baseUrl } = await serve((request, response) =>
    response.end(
      request.url?.includes('/edits')
        ? JSON.stringify({ edits: [edit(1, {})], next: null })
        : JSON.stringify({ ...stream, status: 'failed', statusDetail: 'covariance is singular' }),
    ),
  );
  const submitted = [{ id: id('edt', 1), ordinal: 1, status: 'queued' as const, reason: null }];
  await expect(createClient({ baseUrl }).waitForEdits('facts', submitted)).rejects.toThrow(/covariance is singular/);
});

test('edits become one line each', () => {
  expect(toNdjson([{ prompt: 'a\nb', target: 'c' }])).toBe('{"prompt":"a\\nb","target":"c"}\n');
  expect(isSettled({ status: 'applied', answer: null })).toBe(false);
});

const chunk = (text: string) => ({
  id: 'cmpl-1',
  object: 'text_completion',
  created: 1,
  model: 'tiny',
  seq: 3,
  choices: [{ index: 0, text, logprobs: null, finish_reason: null }],
});

test('a streamed answer comes event by event, however its bytes are cut', async () => {
  const events = ['Zü', 'rich\n'].map((text) => JSON.stringify(chunk(text)));
  const body = Buffer.from(`: hello\r\n\r\ndata: ${events[0]}\n\ndata:${events[1]}\r\n\r\ndata: [DONE]\n\n`);
  let size = 1;
  const { baseUrl, requests } = await serve(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let at = 0; at < body.length; at += size) {
      response.write(body.subarray(at, at + size));
      if (at % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  });
  for (size of [1, 2, 7, body.length]) {
    const texts: string[] = [];
    for await (const event of createClient({ baseUrl }).streamCompletion('facts', { prompt: 'a' }))
      texts.push(event.choices[0].text);
    expect(texts).toEqual(['Zü', 'rich\n']);
  }
  expect(requests[0].url).toBe('/v1/streams/facts/completions');
});

test('a streamed answer that fails, breaks off or is left says so or ends', async () => {
  let respond: RequestListener = () => {};
  const { baseUrl } = await serve((request, response) => respond(request, response));
  const client = createClient({ baseUrl, retries: 1 });
  const read = async () => {
    const texts: string[] = [];
    for await (const event of client.streamChat('facts', { messages: [{ role: 'user', content: 'a' }] }))
      texts.push(JSON.stringify(event));
    return texts;
  };
  let tries = 0;
  respond = (_request, response) => {
    if (++tries === 1) response.writeHead(503).end(problem('NOT_READY', 503, true));
    else response.end('data: [DONE]\n\n');
  };
  expect(await read()).toEqual([]);
  expect(tries).toBe(2);

  const error = { message: 'no engine', type: 'server_error', param: null, code: 'OUT_OF_MEMORY' };
  respond = (_request, response) => response.end(`data: ${JSON.stringify({ error })}\n\n`);
  await expect(read()).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', message: 'no engine' });
  respond = (_request, response) => response.end('data: {"x": 1}\n\n');
  await expect(read()).rejects.toMatchObject({ code: 'INTERNAL' });
  respond = (_request, response) => response.end();
  await expect(read()).rejects.toMatchObject({ code: 'NOT_READY', message: expect.stringMatching(/broke off/) });

  const closed = new Promise<void>((resolve) => {
    respond = (_request, response) => {
      response.once('close', () => resolve());
      response.write(`data: ${JSON.stringify(chunk('x'))}\n\n`);
    };
  });
  for await (const _ of client.streamCompletion('facts', { prompt: 'a' })) break;
  await closed;
});

test('names are escaped in paths', async () => {
  const { baseUrl, requests } = await serve((_request, response) => response.end(JSON.stringify(stream)));
  await createClient({ baseUrl: `${baseUrl}/` }).getStream('a b/../c');
  expect(requests[0].url).toBe('/v1/streams/a%20b%2F..%2Fc');
});
