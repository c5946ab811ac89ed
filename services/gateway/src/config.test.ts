import { expect, test } from 'vitest';
import { readConfig } from './config.js';

const env = {
  DATABASE_URL: 'postgres://u:p@h/db',
  TEMPORAL_ADDRESS: 't:7233',
  MODEL_RUNTIME: 'm:1, n:2',
  SHARD_WORKERS: 'a:1, b:2',
};

test('loopback and port 8080 unless told otherwise', () => {
  expect(readConfig(env)).toMatchObject({ HOST: '127.0.0.1', PORT: 8080, SHARD_WORKERS: ['a:1', 'b:2'] });
  expect(readConfig(env).MODEL_RUNTIME).toEqual(['m:1', 'n:2']);
});

test('every variable at fault is named with its value', () => {
  const read = () => readConfig({ ...env, TEMPORAL_ADDRESS: undefined, PORT: '99999', MODEL_RUNTIME: 'nowhere' });
  expect(read).toThrow(/TEMPORAL_ADDRESS is not set/);
  expect(read).toThrow(/PORT="99999"/);
  expect(read).toThrow(/MODEL_RUNTIME="nowhere" must be host:port/);
});
