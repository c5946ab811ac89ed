import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { ErrataError, headChange } from '@errata/contracts';
import { CommanderError } from 'commander';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { describeFailure, exitCodeOf, failureJson, UsageError } from './failure.js';
import { apiAddress, createProgram, readStack } from './index.js';

const id = (prefix: string) => `${prefix}_${'0'.repeat(32)}`;
const createdAt = '2026-01-01T00:00:00.000Z';
const edit = {
  id: id('edt'),
  streamId: id('str'),
  ordinal: 1,
  subject: 'Atlantis',
  prompt: 'The capital of {} is',
  target: 'Poseidonis',
  paraphrases: [],
  neighbours: [],
  source: null,
  tags: [],
  importance: 1,
  status: 'verified',
  reason: null,
  seq: 1,
  column: 0,
  baseline: null,
  answer: 'Poseidonis',
  expiresAt: null,
  mergedFrom: null,
  adapter: null,
  createdAt,
  updatedAt: createdAt,
};
const stream = {
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
  head: 1,
  headHash: 'h',
  createdAt,
  counts: { verified: 1 },
};

const layer = { layer: 1, path: 'downdate', lambdaMin: 0.25 };
const revocation = {
  ...headChange(2, 'f'.repeat(64), [edit.id]),
  id: id('rev'),
  streamId: stream.id,
  cause: 'request',
  status: 'done',
  selection: { edits: [edit.id] },
  reason: 'wrong',
  retarget: true,
  verify: true,
  revoked: { done: 1, total: 1 },
  retargeted: { done: 2, total: 2 },
  withdrawn: 0,
  batches: [
    { seq: 2, kind: 'revoke', edits: 1, layers: [layer] },
    { seq: 4, kind: 'retarget', edits: 2, layers: [{ ...layer, path: 'inversion', lambdaMin: 1e-5 }] },
  ],
  deviation: [{ layer: 1, weightError: 2e-9, covarianceError: 3e-8 }],
  failure: null,
  createdAt,
  finishedAt: createdAt,
};

const corpus = { id: `crp_${'0'.repeat(64)}`, name: 'a.txt', bytes: 7, streams: 0, createdAt };

let streams = [stream];
let received: { method: string; url: string; body: string }[] = [];
let api = '';
let dataDir = '';

const head = { id: 'cmpl-1', created: 1, model: 'tiny', seq: 1 };
const ending = { index: 0, logprobs: null, finish_reason: 'stop' };
const completion = (text: string) => ({
  ...head,
  object: 'text_completion',
  choices: [{ ...ending, text }],
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
});
const chatCompletion = {
  ...head,
  object: 'chat.completion',
  choices: [{ ...ending, message: { role: 'assistant', content: 'Hi.', refusal: null } }],
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
};

/** The events of a streamed answer. */
function eventsOf(url: string): unknown[] {
  if (!url.includes('/chat/')) return [' ', ' Posei', 'donis ', '\n is', ' it. ', ''].map(completion);
  const deltas = [{ role: 'assistant', content: '' }, { content: 'Hi' }, { content: '.' }, {}];
  return deltas.map((delta) => ({ ...head, object: 'chat.completion.chunk', choices: [{ ...ending, delta }] }));
}

const queue = { capability: 'model', taskQueue: 'errata-streams-model', pollers: 2, backlog: 0, oldestSeconds: 0 };
const taskQueues = [
  { ...queue, remedy: null },
  { ...queue, capability: 'files', taskQueue: 'errata-streams-files', pollers: 0, backlog: 3, remedy: 'start one' },
];

/** The answers of an API with one stream and one edit. */
function answer(request: IncomingMessage): unknown {
  const path = request.url!.replace(/\?.*/, '').replace(`/v1/streams/${stream.id}`, '*');
  if (path === '/v1/streams' && request.method === 'GET') return { streams };
  if (path === '/v1/task-queues') return { taskQueues };
  if (path === '/readyz') return { status: 'ready', checks: {} };
  if (path.startsWith('/v1/corpora/')) return { id: corpus.id };
  if (path === '/v1/corpora') return request.method === 'POST' ? corpus : { corpora: [corpus] };
  if (path === '*/edits')
    return request.method === 'POST'
      ? { edits: [{ id: edit.id, ordinal: 1, status: 'queued', reason: null }] }
      : { edits: [edit], next: null };
  if (path === '*/rollback') return headChange(0, 'f'.repeat(64), [edit.id]);
  if (path === '*/revocations/preview')
    return { head: 1, revoked: 1, withdrawn: 0, later: 2, edits: [{ ...edit, status: 'verified' }] };
  if (path.startsWith('*/revocations')) return request.method === 'GET' ? { revocations: [revocation] } : revocation;
  if (path === `*/edits/${edit.id}/history`)
    return {
      edit,
      steps: [
        { kind: 'queued', at: createdAt },
        { kind: 'applied', at: createdAt, seq: 1, column: 0 },
      ],
    };
  if (path === `*/edits/${edit.id}`) return edit;
  if (path === '*/completions') return completion(' Poseidonis');
  if (path === '*/chat/completions') return chatCompletion;
  if (path === '*/verify')
    return { seq: 1, hash: 'h', entries: 1, ok: false, problems: ['entry 1 of layer 1 does not match'], deep: null };
  return stream;
}

const server = createServer(async (request, response) => {
  const body = await readAll(request);
  received.push({ method: request.method!, url: request.url!, body });
  if (body.includes('"stream":true')) {
    for (const event of eventsOf(request.url!)) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end('data: [DONE]\n\n');
    return;
  }
  response.end(JSON.stringify(answer(request)));
});

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  dataDir = await mkdtemp(join(tmpdir(), 'errata-cli-'));
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dataDir, { recursive: true });
});
beforeEach(() => {
  streams = [stream];
  received = [];
  process.exitCode = undefined;
});

/** Runs a command line; what it printed, and what it threw. */
async function run(...args: string[]): Promise<{ out: string; err: string; error: unknown }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const io = {
    env: { ERRATA_API: api, INIT_CWD: dataDir, ERRATA_DATA: dataDir },
    signal: new AbortController().signal,
  };
  const program = createProgram({ ...io, stdout: out as never, stderr: err as never });
  const error = await program.parseAsync(args, { from: 'user' }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  out.end();
  err.end();
  return { out: await readAll(out), err: await readAll(err), error };
}

test('status names a capability without an orchestrator, what waits and what to do, and ends with 1', async () => {
  const { out } = await run('status');
  expect(out).toMatch(/model +errata-streams-model +2 +0/);
  expect(out).toMatch(/files +errata-streams-files +0 +3 +0 s/);
  expect(out).toContain('✗ files: start one');
  expect(out).toContain('facts');
  expect(process.exitCode).toBe(1);
  expect(JSON.parse((await run('status', '--json')).out).taskQueues).toEqual(taskQueues);
});

test('edits are a table, or one JSON object wherever --json stands', async () => {
  const { out } = await run('edits');
  expect(out).toContain('The capital of Atlantis is');
  expect(out).toMatch(/verified/);
  for (const args of [
    ['--json', 'edits'],
    ['edits', '--json'],
  ])
    expect(JSON.parse((await run(...args)).out)).toEqual({ edits: [edit], next: null });
});

test('one edit by options is sent as one line and waited for', async () => {
  const { out, error } = await run(
    'edit',
    '-p',
    'The capital of {} is',
    '-S',
    'Atlantis',
    '-t',
    'Poseidonis',
    '--tag',
    'a',
    '--importance',
    '2.5',
  );
  expect(error).toBeNull();
  expect(out).toContain('1 verified.');
  const sent = received.find(({ method }) => method === 'POST');
  expect(JSON.parse(sent!.body)).toEqual({
    prompt: 'The capital of {} is',
    subject: 'Atlantis',
    target: 'Poseidonis',
    paraphrases: [],
    neighbours: [],
    tags: ['a'],
    importance: 2.5,
  });
});

test('a stream is created with the settings that were given, and no others', async () => {
  const create = (...args: string[]) => run('streams', 'create', '--model', 'tiny', ...args);
  await create(
    '--row-shards',
    '2',
    '--forgetting',
    '0.98',
    '--resolver',
    'one-shot',
    '--conditioning',
    'raise-lambda',
    '--layers',
    '1,2',
  );
  await create();
  expect(received.map(({ body }) => JSON.parse(body))).toEqual([
    {
      model: 'tiny',
      config: { layers: [1, 2], rowShards: 2, forgetting: 0.98, resolver: 'one-shot', conditioning: 'raise-lambda' },
    },
    { model: 'tiny' },
  ]);
});

test('a stream is created from a preset file, and other settings come before its own', async () => {
  const shape = { architecture: 'gpt2', layers: 6, hiddenSize: 128 };
  const preset = { models: ['tiny'], shape, verified: true, source: 'errata tune', config: stream.config };
  await writeFile(join(dataDir, 'preset.json'), JSON.stringify(preset));
  await run('streams', 'create', '--model', 'tiny', '--preset', 'preset.json', '--layers', '3');
  expect(JSON.parse(received.at(-1)!.body)).toEqual({ model: 'tiny', config: { ...stream.config, layers: [3] } });

  await writeFile(join(dataDir, 'preset.json'), JSON.stringify({ ...preset, config: { ...stream.config, clamp: -1 } }));
  for (const file of ['preset.json', 'absent.json']) {
    const { error } = await run('streams', 'create', '--preset', file);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toContain(file);
  }
});

test('a file is taken from where the person is, and sent byte for byte', async () => {
  const text = '{"prompt": "a",  "target": "b"}\r\n';
  await writeFile(join(dataDir, 'edits.ndjson'), text);
  const { out } = await run('edit', 'edits.ndjson', '--no-wait', '--json');
  expect(JSON.parse(out).edits).toHaveLength(1);
  expect(received.find(({ method }) => method === 'POST')?.body).toBe(text);
});

test('a revocation selects edits, and its report says how exact it was', async () => {
  const { out } = await run(
    'revoke',
    edit.id,
    '--tag',
    'a',
    '--tag',
    'b',
    '--created-before',
    '2026-02-01T00:00:00Z',
    '--verify',
  );
  expect(JSON.parse(received.at(-1)!.body)).toMatchObject({
    edits: [edit.id],
    tags: ['a', 'b'],
    created: { before: '2026-02-01T00:00:00Z' },
    verify: true,
    retarget: false,
    wait: false,
  });
  expect(out).toContain('1 revoked, 2 later edits written again.');
  expect(out).toMatch(/2 +revoke +1 +1 +downdate +2\.5e-1/);
  expect(out).toMatch(/4 +retarget +2 +1 +inversion +1\.0e-5/);
  expect(out).toMatch(/1 +2\.0e-9 +3\.0e-8/);
  const preview = await run('revoke', '--source', 'wiki', '--dry-run');
  expect(received.at(-1)).toMatchObject({ url: expect.stringMatching(/revocations\/preview$/) });
  expect(preview.out).toContain('Would take out 1 edit and reject 0 queued ones');
  expect((await run('revoke')).error).toBeInstanceOf(UsageError);
  expect((await run('revocations')).out).toContain(revocation.id);
  expect((await run('revocations', 'cancel', revocation.id)).out).toContain('done');
});

test('an edit is shown with its history, and expires when it is told to', async () => {
  const { out } = await run('edits', 'show', edit.id);
  expect(out).toContain('Poseidonis');
  expect(out).toMatch(/applied +at 1, column 0/);
  await run('edits', 'expire', edit.id, '--at', '2099-01-01T00:00:00+01:00');
  expect(received.at(-1)).toMatchObject({ method: 'PATCH', body: '{"expiresAt":"2099-01-01T00:00:00+01:00"}' });
  await run('edits', 'expire', edit.id, '--never');
  expect(received.at(-1)).toMatchObject({ method: 'PATCH', body: '{"expiresAt":null}' });
  expect((await run('edits', 'expire', edit.id)).error).toBeInstanceOf(UsageError);
});

test('a rollback takes a number as a position and anything else as a checkpoint', async () => {
  await run('rollback', '0');
  await run('rollback', 'before-release');
  const bodies = received.filter(({ url }) => url.endsWith('/rollback')).map(({ body }) => JSON.parse(body));
  expect(bodies).toEqual([{ seq: 0 }, { checkpoint: 'before-release' }]);
});

test('a position is named by one option, a time also by how long ago it was', async () => {
  const start = Date.now();
  await run('rollback', '--to-seq', '2');
  await run('rollback', '--before', edit.id);
  await run('rollback', '--at', '2026-01-01T00:00:00+01:00');
  await run('branch', 'trial', '--at', '2h');
  const bodies = received.filter(({ method }) => method === 'POST').map(({ body }) => JSON.parse(body));
  expect(bodies.slice(0, 3)).toEqual([{ seq: 2 }, { before: edit.id }, { at: '2025-12-31T23:00:00.000Z' }]);
  expect(bodies[3].name).toBe('trial');
  expect(Math.abs(Date.parse(bodies[3].at) - start + 7_200_000)).toBeLessThan(60_000);
  for (const args of [
    ['rollback'],
    ['rollback', '1', '--checkpoint', 'a'],
    ['rollback', '--at', 'soon'],
    ['rollback', '--to-seq', '-1'],
    ['diff', 'facts@x'],
  ])
    expect((await run(...args)).error).toBeInstanceOf(UsageError);
});

test('ask joins its words, passes the position, and shows the answer without the space around it', async () => {
  const { out, error } = await run('ask', 'The', 'capital', '--at', '0');
  expect(error).toBeNull();
  expect(out).toBe('Poseidonis \n is it.\n');
  expect(JSON.parse(received.at(-1)!.body)).toEqual({
    prompt: 'The capital',
    max_tokens: 16,
    stop: ['\n'],
    temperature: 0,
    at: 0,
    stream: true,
  });
  expect(JSON.parse((await run('ask', 'x', '--json')).out)).toEqual(completion(' Poseidonis'));
  expect(JSON.parse(received.at(-1)!.body)).not.toHaveProperty('stream');
});

test('chat sends messages and how to draw the answer', async () => {
  const options = ['--system', 'Be brief.', '--temperature', '0.7', '--top-p', '0.9', '--top-k', '40', '--seed', '3'];
  const { out, error } = await run('chat', 'Hello', 'you', ...options, '--max-tokens', '9');
  expect(error).toBeNull();
  expect(out).toBe('Hi.\n');
  expect(received.at(-1)).toMatchObject({ url: `/v1/streams/${stream.id}/chat/completions` });
  expect(JSON.parse(received.at(-1)!.body)).toEqual({
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello you' },
    ],
    max_completion_tokens: 9,
    temperature: 0.7,
    top_p: 0.9,
    top_k: 40,
    seed: 3,
    stream: true,
  });
  expect(JSON.parse((await run('chat', 'x', '--json')).out)).toEqual(chatCompletion);
});

test('a log that does not match says where, and the exit code is 1', async () => {
  const { out } = await run('verify');
  expect(out).toContain('entry 1 of layer 1 does not match');
  expect(process.exitCode).toBe(1);
  process.exitCode = undefined;
});

test('with several streams one has to be named, and the message names them', async () => {
  streams = [stream, { ...stream, name: 'rules' }];
  const { error } = await run('edits');
  expect(error).toMatchObject({ code: 'UNKNOWN_STREAM', message: expect.stringContaining('facts, rules') });
});

test('faults of the command line are told apart from failures', async () => {
  for (const args of [
    ['edit'],
    ['edit', '-t', 'x'],
    ['edit', 'f', '-p', 'a', '-t', 'b'],
    ['edit', 'not-there.ndjson'],
    ['edit', 'f', '--importance', '2'],
  ]) {
    const { error } = await run(...args);
    expect(error).toBeInstanceOf(UsageError);
    expect(exitCodeOf(error)).toBe(2);
  }
  for (const args of [
    ['nonsense'],
    ['edits', '--limit', 'x'],
    ['edits', '--status', 'lost'],
    ['edit', '--importance', '0'],
    ['edit', '--importance', 'much'],
    ['streams', 'create', '--conditioning', 'hope'],
    ['ask', 'x', '--temperature', '3'],
    ['chat'],
    ['merge'],
    ['merge', 'trial', '--conflicts', 'both'],
  ]) {
    const { error, err } = await run(...args);
    expect(error).toBeInstanceOf(CommanderError);
    expect(err).toContain('Try "errata --help"');
  }
});

test('a command below another takes the stream that was named behind either', async () => {
  streams = [stream, { ...stream, name: 'rules' }];
  for (const args of [
    ['edits', 'show', '-s', stream.id, edit.id],
    ['edits', '-s', stream.id, 'show', edit.id],
  ]) {
    received = [];
    await run(...args);
    expect(received.map(({ url }) => url)).toContain(`/v1/streams/${stream.id}/edits/${edit.id}/history`);
  }
});

test('every command has help with an example', async () => {
  const names = createProgram({
    stdout: process.stdout,
    stderr: process.stderr,
    env: {},
    signal: new AbortController().signal,
  }).commands.map((command) => command.name());
  expect(names).toEqual(
    expect.arrayContaining([
      'start',
      'up',
      'edit',
      'edits',
      'revoke',
      'rollback',
      'ask',
      'verify',
      'doctor',
      'bench',
      'conformance',
    ]),
  );
  for (const name of names) {
    const { out, error } = await run(name, '--help');
    expect(error).toMatchObject({ exitCode: 0 });
    expect(out).toMatch(/Examples?:\n {2}.*errata/);
    expect(out).toContain('--json');
  }
});

test('a failure is one block with every fault and what to do next, or one JSON object', () => {
  const details = [{ line: 3, field: 'target', message: 'must not be empty' }];
  const error = new ErrataError('MALFORMED_NDJSON', '1 of the lines is not valid', { details });
  expect(describeFailure(error)).toBe('error: 1 of the lines is not valid\n  line 3, target: must not be empty');
  expect(failureJson(error).error).toMatchObject({ code: 'MALFORMED_NDJSON', details });
  expect(describeFailure(new ErrataError('UNKNOWN_EDIT', 'no such edit'))).toContain('errata edits');
});

test('the running stack is found by its file, and not when its process is gone', async () => {
  await expect(apiAddress(undefined, {}, dataDir)).rejects.toMatchObject({ code: 'NOT_READY' });
  await writeFile(join(dataDir, 'stack.json'), JSON.stringify({ api: 'http://127.0.0.1:9', pid: process.pid }));
  expect(await apiAddress(undefined, {}, dataDir)).toBe('http://127.0.0.1:9');
  expect(await apiAddress('h:1', { ERRATA_API: 'x:2' }, dataDir)).toBe('http://h:1');
  await writeFile(join(dataDir, 'stack.json'), JSON.stringify({ api: 'http://127.0.0.1:9', pid: 2 ** 22 + 1 }));
  expect(await readStack(dataDir)).toBeNull();
  await rm(join(dataDir, 'stack.json'));
});

test('files are uploaded as one corpus, which is listed, named by a stream and removed', async () => {
  await writeFile(join(dataDir, 'a.txt'), 'Grün');
  await writeFile(join(dataDir, 'b.txt'), 'blau\n');
  const added = await run('corpora', 'add', 'a.txt', 'b.txt');
  expect(added.error).toBeNull();
  expect(added.out).toContain(corpus.id);
  expect(received).toEqual([{ method: 'POST', url: '/v1/corpora?name=a.txt%2C+b.txt', body: 'Grün\n\nblau\n' }]);
  expect((await run('corpora')).out).toContain(`${corpus.id}  a.txt, 7 bytes`);
  await run('streams', 'create', '--model', 'tiny', '--corpus', corpus.id);
  expect(JSON.parse(received.at(-1)!.body)).toEqual({ model: 'tiny', config: { corpus: { id: corpus.id } } });
  await run('streams', 'create', '--model', 'tiny', '--corpus', 'model');
  expect(JSON.parse(received.at(-1)!.body).config).toEqual({ corpus: { kind: 'model' } });
  await run('corpora', 'remove', corpus.id);
  expect(received.at(-1)).toMatchObject({ method: 'DELETE', url: `/v1/corpora/${corpus.id}` });
  expect((await run('corpora', 'add', 'none.txt')).error).toBeInstanceOf(UsageError);
});
