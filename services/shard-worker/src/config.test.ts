import { expect, it } from 'vitest';
import { readConfig } from './config.js';

it('names every variable that is wrong', () => {
  expect(() => readConfig({ LISTEN: 'nowhere', SHARD_MEMORY_BYTES: '12' })).toThrowError(
    /DATABASE_URL: .*LISTEN: must be host:port; .*SHARD_MEMORY_BYTES: /,
  );
});

it('needs nothing but the database', () => {
  expect(readConfig({ DATABASE_URL: 'postgres://127.0.0.1:5432/errata' })).toMatchObject({
    LISTEN: '127.0.0.1:7442',
    ERRATA_ENGINE: 'auto',
    SHARD_MEMORY_BYTES: 2e9,
  });
});
