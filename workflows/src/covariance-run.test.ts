import { expect, test } from 'vitest';
import { CovarianceRun } from './covariance-run.js';

test('layers that several streams want are computed once, later ones in a pass of their own', () => {
  const run = new CovarianceRun();
  run.join('a', [7, 6]);
  run.join('b', [6]);
  expect(run.wanted()).toEqual([6, 7]);
  run.begin([6, 7], 3);
  run.join('c', [7, 8]);
  expect(run.takeSatisfied()).toEqual([]);
  run.advance(2);
  expect(run.unfinished).toBe(true);
  expect(run.progress()).toEqual({ layers: [6, 7], slices: 3, slicesDone: 2, streams: ['a', 'b', 'c'] });
  run.advance(3);
  expect(run.unfinished).toBe(false);
  run.finish();
  expect(run.takeSatisfied()).toEqual(['a', 'b']);
  expect(run.wanted()).toEqual([8]);
  run.begin([8], 3);
  expect(run.unfinished).toBe(true);
  run.finish();
  run.join('a', [6]);
  expect(run.wanted()).toEqual([]);
  expect(run.takeSatisfied()).toEqual(['c', 'a']);
  expect(run.streams).toEqual([]);
});

test('a stream that asks again for other layers waits for all of them', () => {
  const run = new CovarianceRun();
  run.join('a', [1]);
  run.begin([1], 1);
  run.join('a', [2]);
  run.finish();
  expect(run.takeSatisfied()).toEqual([]);
  expect(run.takeAll()).toEqual(['a']);
});
