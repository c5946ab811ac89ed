import { expect, it } from 'vitest';
import { defaultGuards, guardReadings, isExceeded } from './guards.js';

/** Budgets beyond their limit when so many of the asked hold. */
function exceeded(probe: 'retention' | 'neighbours' | 'ability', asked: number, held: number): string[] {
  const found = { seq: 7, asked, held, byAge: [] };
  return guardReadings(defaultGuards, 7, { [probe]: found }, [])
    .filter(isExceeded)
    .map(({ budget }) => budget);
}

it('a share of few answers is beyond its limit only where that is hardly chance', () => {
  // Of samples of a stream that retains just 90 %, one in four has 8 or fewer of 10, one in two 14 or fewer of 16.
  expect(exceeded('retention', 10, 8)).toEqual([]);
  expect(exceeded('retention', 16, 14)).toEqual([]);
  expect(exceeded('retention', 16, 12)).toEqual(['retention']);
  expect(exceeded('retention', 5, 0)).toEqual(['retention']);
  expect(exceeded('retention', 1000, 880)).toEqual(['retention']);
  expect(exceeded('neighbours', 10, 7)).toEqual([]);
  expect(exceeded('neighbours', 10, 5)).toEqual(['neighboursKept']);
  expect(exceeded('ability', 40, 33)).toEqual([]);
  expect(exceeded('ability', 40, 30)).toEqual(['abilityLoss']);
});

it('a share within its limit is read however few answers there are, from the least on', () => {
  const read = (asked: number, held: number) =>
    guardReadings(defaultGuards, 7, { retention: { seq: 7, asked, held, byAge: [] } }, []).map(({ value }) => value);
  expect(read(5, 5)).toEqual([1]);
  expect(read(4, 4)).toEqual([]);
  expect(read(16, 14)).toEqual([]);
  expect(read(16, 12)).toEqual([0.75]);
});
