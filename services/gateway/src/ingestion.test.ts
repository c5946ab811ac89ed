import { editSchema, limits, problemSchema, submitEditsResponseSchema } from '@errata/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { call, makeStream, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
let edits: string;
let streamId: string;

beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.stop());
beforeEach(async () => {
  const stream = await makeStream(gateway);
  streamId = stream.id;
  edits = `/v1/streams/${stream.id}/edits`;
  gateway.workflows.calls.length = 0;
  gateway.workflows.failure = null;
});

const good = (n = 0) => ({ subject: `Subject ${n}`, prompt: 'The capital of {} is', target: `City ${n}` });
const ndjson = (lines: readonly (object | string)[]) => ({
  type: 'application/x-ndjson',
  text: `${lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')}\n`,
});
const stored = async () => (await gateway.store.listEdits(streamId)).edits;

describe('accepted', () => {
  test('JSON: 202 after the commit, defaults filled in, the stream woken', async () => {
    const answer = await call(gateway, 'POST', edits, { json: { edits: [good(1), good(2)] } });
    expect(answer.status).toBe(202);
    expect(submitEditsResponseSchema.parse(answer.body).edits.map((e) => [e.ordinal, e.status])).toEqual([
      [1, 'queued'],
      [2, 'queued'],
    ]);
    expect(await stored()).toMatchObject([
      { subject: 'Subject 1', target: 'City 1', paraphrases: [], neighbours: [], tags: [] },
      { subject: 'Subject 2' },
    ]);
    expect(gateway.workflows.calls).toEqual([{ name: 'wake', args: [streamId] }]);
  });

  test('importance is kept, as JSON and as NDJSON; 1 without it, and shown with the edit', async () => {
    await call(gateway, 'POST', edits, { json: { edits: [{ ...good(1), importance: 2.5 }, good(2)] } });
    await call(gateway, 'POST', edits, ndjson([{ ...good(3), importance: 0.01 }]));
    expect((await stored()).map((edit) => edit.importance)).toEqual([2.5, 1, 0.01]);
    const [{ id }] = await stored();
    expect(editSchema.parse((await call(gateway, 'GET', `${edits}/${id}`)).body).importance).toBe(2.5);
  });

  test('NDJSON with blank lines, CRLF, a byte order mark and no newline at the end', async () => {
    const lines = [good(1), good(2), good(3)].map((edit) => JSON.stringify(edit));
    const text = `\uFEFF${lines[0]}\r\n\n${lines[1]}\r\n  \n${lines[2]}`;
    const answer = await call(gateway, 'POST', edits, { type: 'application/x-ndjson; charset=utf-8', text });
    expect(answer.status).toBe(202);
    expect((await stored()).map((edit) => edit.target)).toEqual(['City 1', 'City 2', 'City 3']);
  });

  test('a wake that fails is logged and changes nothing', async () => {
    gateway.workflows.failure = new Error('no Temporal');
    const answer = await call(gateway, 'POST', edits, { json: { edits: [good()] } });
    expect(answer.status).toBe(202);
    expect(await stored()).toHaveLength(1);
    expect(gateway.logged.at(-1)).toMatchObject({ level: 'warn', fields: { streamId } });
  });

  test('a duplicate is stored as rejected and says of what', async () => {
    await call(gateway, 'POST', edits, { json: { edits: [good(1)] } });
    const again = await call(gateway, 'POST', edits, { json: { edits: [good(1), good(2)] } });
    expect(again.status).toBe(202);
    const [first] = await stored();
    expect(again.body.edits).toMatchObject([
      { status: 'rejected', reason: expect.stringContaining(first.id) },
      { status: 'queued', reason: null },
    ]);
  });

  test('the same Idempotency-Key and edits are stored once, in either media type; other edits are refused', async () => {
    const headers = { 'idempotency-key': 'key-1' };
    const first = await call(gateway, 'POST', edits, { json: { edits: [good(1)] }, headers });
    const again = await call(gateway, 'POST', edits, { ...ndjson([good(1)]), headers });
    expect(again.status).toBe(202);
    expect(again.body.edits.map((e: { id: string }) => e.id)).toEqual(
      first.body.edits.map((e: { id: string }) => e.id),
    );
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await stored()).toHaveLength(1);
    const other = await call(gateway, 'POST', edits, { json: { edits: [good(2)] }, headers });
    expect(other).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } });
    expect(await stored()).toHaveLength(1);
  });
});

describe('refused, and nothing stored', () => {
  const refused = async (
    body: Parameters<typeof call>[3],
    status: number,
    code: string,
  ): Promise<{ line?: number; field?: string; message: string }[]> => {
    const answer = await call(gateway, 'POST', edits, body);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    const problem = problemSchema.parse(answer.body);
    expect({ status: answer.status, code: problem.code, told: problem.status }).toEqual({ status, code, told: status });
    expect(await stored()).toEqual([]);
    expect(gateway.workflows.calls).toEqual([]);
    return problem.errors ?? [];
  };

  test('a malformed line in the middle of NDJSON is named', async () => {
    const body = ndjson([good(1), '{"prompt": "The capital of {} is", "target": ', good(3)]);
    expect(await refused(body, 400, 'MALFORMED_NDJSON')).toEqual([
      { line: 2, message: expect.stringMatching(/not valid JSON at column \d+: expected value but the text ends/) },
    ]);
  });

  test('every faulty line and field is named, blank lines counted', async () => {
    const body = ndjson([
      { ...good(1), target: '' },
      '',
      good(2),
      { ...good(3), prompt: 'no place for it' },
      { ...good(4), subject: 7 },
      { ...good(5), colour: 'red' },
      '[]',
      { prompt: 'x' },
    ]);
    const faults = await refused(body, 400, 'MALFORMED_NDJSON');
    expect(faults.map(({ line, field }) => [line, field])).toEqual([
      [1, 'target'],
      [4, 'prompt'],
      [5, 'subject'],
      [6, 'colour'],
      [7, undefined],
      [8, 'target'],
    ]);
    expect(faults[0].message).toBe('must not be empty');
    expect(faults[1].message).toMatch(/does not hold its subject: write \{\} where "Subject 3" stands/);
    expect(faults[5].message).toBe('is missing: a string is needed');
  });

  test('of very many faulty lines the first 20 are named', async () => {
    const faults = await refused(ndjson([...Array(500).keys()].map(() => '{')), 400, 'MALFORMED_NDJSON');
    expect(faults.map((fault) => fault.line)).toEqual([...Array(20).keys()].map((n) => n + 1));
  });

  test('bytes that are not UTF-8', async () => {
    const text = new Uint8Array([...Buffer.from(`${JSON.stringify(good(1))}\n{"prompt":"`), 0xff, 0xfe, 0x22, 0x7d]);
    expect(await refused({ type: 'application/x-ndjson', text }, 400, 'MALFORMED_NDJSON')).toEqual([
      { line: 2, message: 'not valid UTF-8' },
    ]);
    await refused({ type: 'application/json', text }, 400, 'INVALID_REQUEST');
  });

  test('an importance out of range or of another type', async () => {
    const bad = [0, 0.009, 100.5, -1, '2', null].map((importance, n) => ({ ...good(n), importance }));
    const faults = await refused({ json: { edits: bad } }, 400, 'INVALID_REQUEST');
    expect(faults.map((fault) => fault.field)).toEqual(bad.map((_, n) => `edits[${n}].importance`));
    expect((await refused(ndjson(bad.slice(0, 1)), 400, 'MALFORMED_NDJSON'))[0]).toMatchObject({
      line: 1,
      field: 'importance',
      message: expect.stringContaining('0.01'),
    });
  });

  test('bad JSON, with its position', async () => {
    const [fault] = await refused({ type: 'application/json', text: '{"edits":\n [,]}' }, 400, 'INVALID_REQUEST');
    expect(fault).toEqual({ line: 2, message: 'column 3: expected value or ] but found ",]}"' });
  });

  test('an empty target, a prompt without its subject, a hole without a subject, two holes', async () => {
    const bad = [
      { ...good(), target: '   ' },
      { ...good(), prompt: 'The capital is' },
      { prompt: 'The capital of {} is', target: 'x' },
      { ...good(), prompt: '{} and {} are' },
      { ...good(), target: ' Bern' },
    ];
    const faults = await refused({ json: { edits: [good(9), ...bad] } }, 400, 'INVALID_REQUEST');
    expect(faults.map((fault) => fault.field)).toEqual([
      'edits[1].target',
      'edits[2].prompt',
      'edits[3].subject',
      'edits[4].prompt',
      'edits[5].target',
    ]);
  });

  test('wrong types, no edits, no body', async () => {
    expect((await refused({ json: { edits: 'all' } }, 400, 'INVALID_REQUEST'))[0].field).toBe('edits');
    expect((await refused({ json: { edits: [] } }, 400, 'INVALID_REQUEST'))[0].field).toBe('edits');
    await refused({ json: [good()] }, 400, 'INVALID_REQUEST');
    await refused({ type: 'application/json', text: '' }, 400, 'INVALID_REQUEST');
    await refused(ndjson(['', '']), 400, 'INVALID_REQUEST');
  });

  test('a prompt of 1 MB, as JSON and as NDJSON', async () => {
    const edit = { ...good(), prompt: `{} ${'x'.repeat(1 << 20)}` };
    const [fault] = await refused({ json: { edits: [edit] } }, 400, 'INVALID_REQUEST');
    expect(fault).toEqual({ field: 'edits[0].prompt', message: `is longer than ${limits.promptLength} characters` });
    expect(await refused(ndjson([good(), edit]), 413, 'PAYLOAD_TOO_LARGE')).toEqual([
      { line: 2, message: `Line 2 is longer than ${limits.lineBytes} bytes` },
    ]);
  });

  test('a body above the limit, sent whole all the same', async () => {
    const text = 'x'.repeat(limits.requestBytes + 1);
    await refused({ type: 'application/json', text }, 413, 'PAYLOAD_TOO_LARGE');
    const line = `${JSON.stringify({ ...good(), source: 's'.repeat(400) })}\n`;
    const many = line.repeat(Math.ceil(limits.requestBytes / line.length) + 1);
    await refused({ type: 'application/x-ndjson', text: many }, 413, 'PAYLOAD_TOO_LARGE');
  });

  test('more edits than one request may hold', async () => {
    const line = JSON.stringify({ prompt: 'a', target: 'b' });
    const body = { type: 'application/x-ndjson', text: `${line}\n`.repeat(limits.editsPerRequest + 1) };
    await refused(body, 413, 'PAYLOAD_TOO_LARGE');
  });

  test('another media type, a compressed body, a bad key', async () => {
    await refused({ type: 'text/csv', text: 'a,b' }, 415, 'UNSUPPORTED_MEDIA_TYPE');
    const gzip = { json: { edits: [good()] }, headers: { 'content-encoding': 'gzip' } };
    await refused(gzip, 415, 'UNSUPPORTED_MEDIA_TYPE');
    const [fault] = await refused(
      { json: { edits: [good()] }, headers: { 'idempotency-key': 'two words' } },
      400,
      'INVALID_REQUEST',
    );
    expect(fault.field).toBe('Idempotency-Key');
  });

  test('text that Postgres cannot hold, and nesting without end', async () => {
    const text = `{"edits": [{"prompt": "a\\u0000b", "target": "c"}, {"prompt": "a", "target": "\\ud800"}]}`;
    const faults = await refused({ type: 'application/json', text }, 400, 'INVALID_REQUEST');
    expect(faults.map((fault) => fault.field)).toEqual(['edits[0].prompt', 'edits[1].target']);
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    await refused({ type: 'application/json', text: deep }, 400, 'INVALID_REQUEST');
  });

  test('a stream that is not there', async () => {
    const answer = await call(gateway, 'POST', '/v1/streams/nowhere/edits', { json: { edits: [good()] } });
    expect(answer).toMatchObject({ status: 404, body: { code: 'UNKNOWN_STREAM' } });
  });
});
