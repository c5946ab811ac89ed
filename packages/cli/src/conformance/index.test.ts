import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createEngine, type Engine } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { detectKind } from './detect.js';
import { runConformance } from './index.js';
import type { ConformanceResult } from './types.js';

const golden = fileURLToPath(new URL('../../../rls/fixtures/rls_tiny_d8.json', import.meta.url));
let folder: string;
let engine: Engine;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'errata-conformance-'));
  engine = await createEngine();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(...files: string[]): Promise<{ status: number; results: ConformanceResult[] }> {
  const lines: string[] = [];
  const status = await runConformance(
    files,
    async () => ({ engine, modelPath: '' }),
    (line) => lines.push(line),
  );
  return { status, results: lines.map((line) => JSON.parse(line)) };
}

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

it('passes a golden fixture with its figures', async () => {
  const { status, results } = await run(golden);
  expect(status).toBe(0);
  expect(results).toEqual([{ file: golden, kind: 'rls', cases: 8, maxRelError: expect.any(Number), pass: true }]);
  expect(results[0].maxRelError).toBeLessThan(1e-9);
});

it('fails on a wrong value, and goes on with the next file', async () => {
  const fixture = JSON.parse(await readFile(golden, 'utf8'));
  fixture.W[5][0][0] += 1e-3;
  const { status, results } = await run(await file('wrong.json', JSON.stringify(fixture)), golden);
  expect(status).toBe(1);
  expect(results.map((r) => r.pass)).toEqual([false, true]);
  expect(results[0].maxRelError).toBeGreaterThan(1e-5);
});

it('names what is refused', async () => {
  const fixture = JSON.parse(await readFile(golden, 'utf8'));
  const singular = { ...fixture, lambda_: 0, K0: fixture.K0.map((row: number[]) => row.map(() => 1)) };
  const { status, results } = await run(await file('singular.json', JSON.stringify(singular)));
  expect(status).toBe(0);
  expect(results[0].refused).toMatch(/^ILL_CONDITIONED: /);
});

it('fails with a reason on what it cannot read', async () => {
  const fixture = JSON.parse(await readFile(golden, 'utf8'));
  const { status, results } = await run(
    join(folder, 'absent.json'),
    await file('text.json', 'not json'),
    await file('other.json', '{"a": 1}'),
    await file('short.json', JSON.stringify({ ...fixture, W0: fixture.W0.slice(1) })),
    await file('nan.json', JSON.stringify({ ...fixture, K: [[[null]]] })),
  );
  expect(status).toBe(1);
  expect(results.map((r) => [r.kind, r.pass, r.cases])).toEqual([
    ['unknown', false, 0],
    ['unknown', false, 0],
    ['unknown', false, 0],
    ['rls', false, 0],
    ['rls', false, 0],
  ]);
  for (const result of results) expect(result.error).toBeTruthy();
});

it('tells the kinds apart', () => {
  expect(detectKind({ cases: [{ text: 'a', ids: [1] }] })).toBe('tokenizer');
  expect(detectKind({ prompts: [] })).toBe('model');
  expect(detectKind({ 'blk.0.attn_q.weight': { type: 'Q4_1', shape_rowmajor: [1, 2] } })).toBe('gguf');
  expect(detectKind([1])).toBeNull();
  expect(detectKind(null)).toBeNull();
});
