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
