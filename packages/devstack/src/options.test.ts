import path from 'node:path';
import { expect, test } from 'vitest';
import { resolveOptions } from './options.js';

test('shard workers: given, listed, counted, or two', () => {
  const workers = (env: NodeJS.ProcessEnv, given?: number) => resolveOptions({ shardWorkers: given }, env).shardWorkers;
  expect(workers({})).toBe(2);
  expect(workers({ SHARD_WORKER_COUNT: '5' })).toBe(5);
  expect(workers({ SHARD_WORKER_COUNT: '5', SHARD_WORKERS: 'a:1, b:2' })).toEqual(['a:1', 'b:2']);
  expect(workers({ SHARD_WORKER_COUNT: '5', SHARD_WORKERS: 'a:1' }, 3)).toBe(3);
  for (const count of ['0', '65', '1.5', 'many'])
    expect(() => workers({ SHARD_WORKER_COUNT: count })).toThrow(`SHARD_WORKER_COUNT="${count}"`);
});

test('a model of the environment goes by its own name unless it is given one', () => {
  const model = (env: NodeJS.ProcessEnv) => resolveOptions({}, env).model;
  expect(model({ MODEL_PATH: '/m/gpt2' })).toEqual({ name: undefined, path: '/m/gpt2' });
  expect(model({ MODEL_PATH: '/m/gpt2', MODEL_NAME: 'small' })).toEqual({ name: 'small', path: '/m/gpt2' });
  expect(model({ MODEL_PATH: 'gpt2', INIT_CWD: '/home/me' })?.path).toBe(path.resolve('/home/me/gpt2'));
});

test('model runtimes: counted, or one', () => {
  const runtimes = (env: NodeJS.ProcessEnv, given?: number) =>
    resolveOptions({ ...(given !== undefined && { modelRuntimes: given }) }, env).modelRuntimes;
  expect(runtimes({})).toBe(1);
  expect(runtimes({ MODEL_RUNTIME_COUNT: '2' })).toBe(2);
  expect(runtimes({ MODEL_RUNTIME_COUNT: '2' }, 3)).toBe(3);
  expect(runtimes({ MODEL_RUNTIME_COUNT: '2', MODEL_RUNTIME: 'a:1, b:2' })).toEqual(['a:1', 'b:2']);
  expect(runtimes({ MODEL_RUNTIME: 'a:1' }, 2)).toBe(2);
  expect(() => runtimes({ MODEL_RUNTIME_COUNT: '17' })).toThrow('MODEL_RUNTIME_COUNT="17"');
});
