import type { Batch } from '@errata/contracts';
import { expect, test } from 'vitest';
import { secondsPerEdit } from './report.js';

const batch = (edits: number, seconds: Batch['seconds'], kind: Batch['kind'] = 'apply'): Batch => ({
  streamId: `str_${'0'.repeat(32)}`,
  seq: 1,
  parentSeq: 0,
  kind,
  hash: '',
  edits,
  onHead: true,
  seconds,
  drift: [],
  createdAt: '2026-01-01T00:00:00Z',
  committedAt: null,
});

test('time per edit is weighted by edits and leaves revocations out; what no step took is orchestration', () => {
  const figures = secondsPerEdit([
    batch(10, { targets: 20, keys: 2, update: 1, total: 26 }),
    batch(5, { targets: 10, keys: 1, update: 0.5, total: 13 }),
    batch(1, { targets: 0, keys: 0, update: 9, total: 99 }, 'revoke'),
    batch(3, null),
  ]);
  expect(figures).toEqual({ targets: 2, keys: 0.2, update: 0.1, orchestration: 0.3 });
});

test('nothing measured is zero, not NaN', () => {
  expect(secondsPerEdit([])).toEqual({ targets: 0, keys: 0, update: 0, orchestration: 0 });
});
