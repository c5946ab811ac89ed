import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UsageError } from '../failure.js';
import { createProgram } from '../program.js';
import { choosePrecision, unmeasuredReason } from './bench-engine.js';
import { startComparator } from './comparator.js';
import { readKeys } from './key-file.js';
import { checkMemory, comparatorBytes, rlsBytes } from './memory.js';
import { parseAccuracyOptions, parseRlsOptions } from './options.js';
import { choosePython } from './python.js';

const raw = { batch: '100', engine: 'native', precision: 'auto', seed: '1' };
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'errata-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(...args: string[]): Promise<{ out: string; err: string; error: unknown }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const program = createProgram({
    env: { INIT_CWD: folder },
    signal: new AbortController().signal,
    stdout: out as never,
    stderr: err as never,
  });
  const error = await program.parseAsync(['bench', ...args], { from: 'user' }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  out.end();
  err.end();
  return { out: await readAll(out), err: await readAll(err), error };
}

test('options have the sizes of an 8B model’s layer, and either length stands for the other', () => {
  expect(parseRlsOptions(raw)).toEqual({
    dIn: 14_336,
    dOut: 4096,
    batch: 100,
    edits: 10_000,
    history: 10_000,
    engine: 'native',
    precision: 'auto',
    foldRank: null,
    seed: 1,
  });
  expect(parseRlsOptions({ ...raw, edits: '500' }).history).toBe(500);
  expect(parseRlsOptions({ ...raw, history: '700' }).edits).toBe(700);
  expect(parseAccuracyOptions(raw)).toMatchObject({ dIn: 1536, dOut: 576, edits: 10_000 });
});

test('what is not a size, an engine or a precision is named with what would be', async () => {
  for (const [args, named] of [
    [['--d-in', '0'], '--d-in is "0"'],
    [['--d-in', '1e3'], '--d-in is "1e3"'],
    [['--d-in', '64', '--batch', '65'], 'from 1 to 64'],
    [['--edits', '-5'], '--edits is "-5"'],
    [['--engine', 'cuda'], 'native, wasm, webgpu'],
    [['--precision', 'fp16'], 'auto, fp32, fp64'],
    [['--python', './no/python'], 'there is no ./no/python'],
    [['--keys', 'k.f32'], 'go with --accuracy'],
    [['--accuracy', '--plot', 'x.svg'], 'no plot'],
  ] as const) {
    const { error, out } = await run('rls', ...args);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toContain(named);
    expect(out).toBe('');
  }
  expect(() => choosePrecision('fp64', 64, { name: 'webgpu', precisions: ['fp32'] })).toThrow('--precision fp32');
  expect(choosePrecision('auto', 4096, { name: 'native', precisions: ['fp64', 'fp32'] })).toBe('fp64');
  expect(choosePrecision('auto', 4097, { name: 'native', precisions: ['fp64', 'fp32'] })).toBe('fp32');
});

test('what cannot fit is refused before anything is allocated', async () => {
  const options = parseRlsOptions({ ...raw, dIn: '90000', edits: '100' });
  // C₀, A₀ and the stream's own C, packed.
  expect(rlsBytes(options, 4)).toBeGreaterThan(3 * 4 * 0.5 * 90_000 ** 2);
  expect(comparatorBytes(options, 4)).toBeGreaterThan(4 * 90_000 ** 2);
  expect(() => checkMemory(options, 4, 2 ** 34)).toThrow(
    /--d-in 90000 .* needs about \d+\.\d GiB in fp32, and 16\.0 GiB/,
  );
  expect(() => checkMemory(options, 4, 2 ** 40)).not.toThrow();
  const { error } = await run('rls', '--d-in', '92000', '--precision', 'fp64', '--edits', '1000000');
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toContain('choose a smaller --d-in');
});

test('a small run yields every figure, JSON alone on standard output, and a plot', async () => {
  const plot = join(folder, 'stream.svg');
  const size = ['--d-in', '64', '--d-out', '32', '--batch', '8', '--edits', '400'];
  const { out, err, error } = await run('rls', ...size, '--no-compare', '--json', '--plot', plot);
  expect(error).toBeNull();
  const report = JSON.parse(out);
  expect(out.trim().split('\n')).toHaveLength(1);
  expect(err).toContain('batch 50 of 50');
  for (const field of ['msPerBatch', 'floorMs', 'ratioToFloor', 'lastToFirst', 'copyGBps', 'matmulGflops', 'foldRank'])
    expect(report[field], field).toBeGreaterThan(0);
  for (const field of ['peakBytes', 'updateExtraShareOfC', 'stateBytes'])
    expect(Number.isFinite(report[field]), field).toBe(true);
  expect(report.ratioToFloor).toBeCloseTo(report.msPerBatch / report.floorMs, 12);
  expect(report).toMatchObject({ ratioToNumpy: null, ratioToTorch: null, dIn: 64, precision: 'fp64', seed: 1 });
  expect(report.batchMs).toHaveLength(50);
  const svg = await readFile(plot, 'utf8');
  expect(svg.match(/<circle/g)).toHaveLength(50);
});

test('text for people has the same figures', async () => {
  const { out } = await run('rls', '--d-in', '32', '--d-out', '8', '--batch', '4', '--edits', '80', '--no-compare');
  expect(out).toMatch(/Errata +[\d.]+ ms/);
  expect(out).toContain('left out (--no-compare)');
  expect(out).toMatch(/Last to first: [\d.]+/);
});

test('the accuracy run stays near the closed form, in a stream and after revocations', async () => {
  const size = ['--d-in', '48', '--d-out', '16', '--batch', '10', '--edits', '200'];
  const { out, error } = await run('rls', '--accuracy', '--synthetic', ...size, '--json');
  expect(error).toBeNull();
  const report = JSON.parse(out);
  expect(report).toMatchObject({ keys: 'synthetic', dIn: 48, edits: 200 });
  for (const { weightError, covarianceError } of [
    report,
    report.revocation.neverApplied,
    report.revocation.closedForm,
  ]) {
    expect(weightError).toBeGreaterThan(0);
    expect(weightError).toBeLessThan(1e-5);
    expect(covarianceError).toBeLessThan(1e-5);
  }
  expect(report.revocation).toMatchObject({ edits: 200, revoked: 100 });
});

test('the crossover has measured and predicted costs, and a choice among them', async () => {
  const plot = join(folder, 'crossover.svg');
  const { out, error } = await run('crossover', '--d-in', '64', '--d-out', '16', '--json', '--plot', plot);
  expect(error).toBeNull();
  const report = JSON.parse(out);
  expect(report.points.length).toBeGreaterThan(3);
  for (const point of report.points) {
    expect(point.msPerBatch).toBeGreaterThan(0);
    expect(point.predictedMs).toBeGreaterThan(0);
  }
  for (const { batch, chosen, fastest } of report.choices) {
    expect(chosen % batch).toBe(0);
    expect(report.points).toContainEqual(expect.objectContaining({ batch, foldRank: fastest }));
  }
  expect(await readFile(plot, 'utf8')).toContain('stroke-dasharray');
});

const spec = {
  library: 'numpy',
  device: 'cpu',
  dIn: 16,
  dOut: 8,
  batch: 2,
  precision: 'fp64',
  threads: 1,
  seed: 1,
} as const;
const { signal } = new AbortController();

test('without Python, or with one that fails, the reason is known', async () => {
  expect(await startComparator(join(folder, 'no-python'), spec, signal)).toEqual({
    missing: expect.stringContaining('ENOENT'),
  });
  const failing = join(folder, 'failing');
  await writeFile(failing, '#!/bin/sh\necho "no such module" >&2\nexit 3\n', { mode: 0o755 });
  expect(await startComparator(failing, spec, signal)).toEqual({ missing: 'no such module' });
  expect(choosePython(undefined, { ERRATA_PYTHON: '/p' })).toBe('/p');
  expect(choosePython(undefined, {})).toBe('python3');
});

test('the Python program says what it lacks, and answers each round where it lacks nothing', async (context) => {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
  } catch {
    context.skip();
  }
  const started = await startComparator('python3', spec, signal);
  if ('missing' in started) {
    expect(started.missing).toContain('numpy');
    return;
  }
  const { comparator } = started;
  const ms = await comparator.run(3, 0);
  expect(ms).toHaveLength(3);
  expect(ms.every((x) => x > 0)).toBe(true);
  expect((await comparator.run(1, 0)).length).toBe(1);
  await comparator.close();
});

test('keys of a file are read as they are, and faults of it are named', async () => {
  const values = Float32Array.from({ length: 12 }, (_, i) => i + 0.5);
  const floats = join(folder, 'keys.f32');
  await writeFile(floats, new Uint8Array(values.buffer));
  expect(await readKeys(floats, 4)).toEqual({ dimension: 4, count: 3, data: values });
  await expect(readKeys(floats, 5)).rejects.toThrow('48 bytes, not a multiple of 20');
  const json = join(folder, 'keys.json');
  await writeFile(json, '[[1, 2], [3, 4], [5, 6]]');
  expect(await readKeys(json, 99)).toEqual({ dimension: 2, count: 3, data: Float32Array.of(1, 2, 3, 4, 5, 6) });
  await writeFile(json, '[[1, 2], [3]]');
  await expect(readKeys(json, 2)).rejects.toThrow('equally long');
  await writeFile(json, '[[1, "x"]]');
  await expect(readKeys(json, 2)).rejects.toThrow('not a finite number');
  await expect(readKeys(join(folder, 'nowhere.f32'), 2)).rejects.toThrow('cannot read');
});

test('a software adapter is no graphics card', () => {
  expect(unmeasuredReason({ name: 'webgpu', description: 'WebGPU (Dawn) on google SwiftShader' })).toContain(
    'no graphics card',
  );
  expect(unmeasuredReason({ name: 'webgpu', description: 'WebGPU (Dawn) on nvidia hopper H100' })).toBeNull();
  expect(unmeasuredReason({ name: 'native', description: 'TensorFlow 2.15' })).toBeNull();
});
