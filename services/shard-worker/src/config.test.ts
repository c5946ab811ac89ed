import { expect, it } from 'vitest';
import { defaultMemoryBytes, readConfig } from './config.js';

it('names every variable that is wrong', () => {
  expect(() => readConfig({ LISTEN: 'nowhere', SHARD_MEMORY_BYTES: '12' })).toThrowError(
    /DATABASE_URL: .*LISTEN: must be host:port; .*SHARD_MEMORY_BYTES: /,
  );
});

it('needs nothing but the database', () => {
  expect(readConfig({ DATABASE_URL: 'postgres://127.0.0.1:5432/errata' })).toMatchObject({
    LISTEN: '127.0.0.1:7442',
    ERRATA_ENGINE: 'auto',
    SHARD_MEMORY_BYTES: defaultMemoryBytes(),
  });
});

it('takes a quarter of the memory there is, or of what a container leaves', () => {
  expect(defaultMemoryBytes(16e9, 0)).toBe(4e9);
  expect(defaultMemoryBytes(16e9, 8e9)).toBe(2e9);
  expect(defaultMemoryBytes(16e9, 2 ** 64)).toBe(4e9);
});
