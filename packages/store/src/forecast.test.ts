import { expect, it } from 'vitest';
import { forecastOf } from './forecast.js';

const line = (count: number, value: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => ({ edits: 10 * (i + 1), value: value(i) }));
const noise = (i: number) => Math.sin(i * 12.9898) * 0.002;

it('says how many edits are left at the present slope, whatever single positions do', () => {
  const points = line(20, (i) => 0.05 + 0.004 * i + noise(i));
  points[7] = { ...points[7], value: 0.9 };
  const found = forecastOf('divergence', 0.25, points);
  expect(found).toMatchObject({ reason: null, points: 20 });
  expect(found.slope).toBeCloseTo(0.0004, 5);
  // At edit 200 it stands at 0.126: 0.124 are left, at 0.0004 an edit.
  expect(Math.abs((found.editsLeft ?? 0) - 310)).toBeLessThan(15);
});

it('counts down to a limit from above as well', () => {
  const found = forecastOf(
    'retention',
    0.9,
    line(10, (i) => 1 - 0.005 * i),
  );
  expect(found.editsLeft).toBe(110);
});

it('is silent where nothing goes toward the limit, or too little is known', () => {
  expect(forecastOf('divergence', 0.25, line(20, noise))).toMatchObject({ editsLeft: null, reason: 'flat' });
  expect(
    forecastOf(
      'divergence',
      0.25,
      line(20, (i) => 0.2 - 0.01 * i),
    ),
  ).toMatchObject({ reason: 'flat' });
  expect(
    forecastOf(
      'divergence',
      0.25,
      line(20, () => 0.1),
    ),
  ).toMatchObject({ editsLeft: null, reason: 'flat' });
  expect(
    forecastOf(
      'divergence',
      0.25,
      line(4, (i) => 0.01 * i),
    ),
  ).toMatchObject({ reason: 'insufficient', value: 0.03 });
  expect(forecastOf('divergence', 0.25, [])).toMatchObject({ editsLeft: null, reason: 'insufficient', value: null });
});

it('says so where the budget is used up', () => {
  expect(
    forecastOf(
      'divergence',
      0.25,
      line(6, (i) => 0.1 * i),
    ),
  ).toMatchObject({ editsLeft: 0, reason: 'reached' });
});
