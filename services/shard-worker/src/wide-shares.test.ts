import { afterAll, beforeAll, expect, it } from 'vitest';
import { course, relativeDifference } from './testing/course.js';
import { type Bench, startBench } from './testing/harness.js';
import { MemoryLog } from './testing/memory-log.js';

// Four panels of C, two for each share.
const size = { inputs: 1540, outputs: 30 };
/** Each share inverts all of A₀. */
const patience = { timeoutMs: 120_000 };

let benches: Bench[];

beforeAll(async () => {
  const log = new MemoryLog(size);
  benches = await Promise.all([startBench(log), startBench(log)]);
});
afterAll(() => Promise.all(benches.map((bench) => bench.stop())));

it('takes hard edits out of the shares of a wide layer as out of a whole one', { timeout: 240_000 }, async () => {
  const [first, second] = benches;
  const one = await course(first, size, [], patience);
  const two = await course(first, size, [second.address], patience);
  const { lambdaMin } = one.updates[2].stats;
  expect(lambdaMin).toBeLessThan(5e-3);
  expect(two.updates[2].stats.lambdaMin / lambdaMin).toBeCloseTo(1, 5);
  expect(relativeDifference(two.delta.data, one.delta.data)).toBeLessThan(1e-5);
});
