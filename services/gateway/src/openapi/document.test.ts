import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, startTestGateway, type TestGateway } from '../testing/gateway.js';
import type { Json, OpenApiDocument } from './document.js';

let gateway: TestGateway;
let document: OpenApiDocument;

beforeAll(async () => {
  gateway = await startTestGateway();
  document = (await call(gateway, 'GET', '/openapi.json')).body;
});
afterAll(() => gateway.stop());

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

function* refs(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value))
    if (key === '$ref' && typeof inner === 'string') yield inner;
    else yield* refs(inner);
}

test('is OpenAPI 3.1 whose references all resolve and whose operations are told apart', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(document.info.version).toBe('1.2.3');
  const names = new Set(Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`));
  const used = [...refs(document)];
  expect(used.filter((ref) => !names.has(ref))).toEqual([]);
  expect([...names].filter((name) => !used.includes(name))).toEqual([]);
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(JSON.stringify(document)).not.toContain('__schema');
});

test('every parameter of a path is declared', () => {
  for (const { path, operation } of operations()) {
    const declared = (operation.parameters as Json[]).filter((p) => p.in === 'path').map((p) => p.name);
    expect(declared).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
  }
});

test('every documented operation is served, and says so when the method is another', async () => {
  for (const { path, method } of operations()) {
    const answer = await call(gateway, method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'nothing'));
    expect([path, method, answer.body.code]).not.toContain('UNKNOWN_ROUTE');
    expect(answer.status).not.toBe(405);
    const other = await call(gateway, 'PUT', path.replaceAll(/\{\w+\}/g, 'nothing'));
    expect(other.status).toBe(405);
    expect(other.headers.get('allow')).toContain(method.toUpperCase());
  }
});

test('requests and answers of the document are those of the issue', () => {
  const list = operations().map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  for (const route of [
    'GET /v1/models',
    'POST /v1/streams/{stream}/edits',
    'POST /v1/streams/{stream}/revocations',
    'POST /v1/streams/{stream}/rollback',
    'POST /v1/streams/{stream}/verify',
    'GET /readyz',
    'GET /metrics',
  ])
    expect(list).toContain(route);
  const submit = document.paths['/v1/streams/{stream}/edits'].post;
  const content = (submit.requestBody as { content: Record<string, Json> }).content;
  expect(Object.keys(content)).toEqual(['application/json', 'application/x-ndjson']);
  expect(Object.keys(submit.responses as Json)).toEqual(
    expect.arrayContaining(['202', '400', '404', '409', '413', '415']),
  );
  const edit = document.components.schemas.EditInput;
  expect(edit.required).toEqual(['prompt', 'target']);
});

test('the docs page shows every operation with a call, and needs nothing from elsewhere', async () => {
  const { body, headers } = await call(gateway, 'GET', '/docs');
  expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  for (const { operation } of operations()) expect(body).toContain(`<section id="${operation.operationId}">`);
  expect(body.match(/curl -sS/g)).toHaveLength(operations().length);
  for (const name of Object.keys(document.components.schemas)) expect(body).toContain(`id="schema-${name}"`);
  expect(body).not.toMatch(/<script|<link|src=|@import|url\(/);
  expect(body).not.toMatch(/undefined|\[object/);
  const targets = [...(body as string).matchAll(/href="#([^"]+)"/g)].map(([, target]) => target);
  for (const target of targets) expect(body).toContain(`id="${target}"`);
});
