import { expect, test } from 'vitest';
import { summarise } from '../bootstrap/lib/test-summary.mjs';

const report = (passed: number, failed: number, pending = 0) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: pending,
  numTodoTests: 0,
  testResults: [],
});

test.each([
  [report(7, 0), 0, '7 passed, 0 failed'],
  [report(7, 0, 2), 0, '7 passed, 0 failed, 2 skipped'],
  [report(5, 2), 1, '5 passed, 2 failed'],
  [report(7, 0), 1, '7 passed, 1 failed'],
  [report(0, 0), 0, '0 passed, 1 failed'],
  [undefined, 134, '0 passed, 1 failed'],
])('report %# ends as it should', (results, exitCode, line) => {
  const summary = summarise(results, exitCode);
  expect(summary.line).toBe(line);
});

test('a test file that does not load counts as a failure and is named', () => {
  const broken = { ...report(3, 0), testResults: [{ name: 'a.test.ts', status: 'failed', assertionResults: [] }] };
  expect(summarise(broken, 1)).toEqual({
    line: '3 passed, 1 failed',
    failed: 1,
    notes: ['a.test.ts failed outside its tests'],
  });
});
