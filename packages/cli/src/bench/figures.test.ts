import { expect, test } from 'vitest';
import { stepFloor } from './floor.js';
import { createKeySource } from './key-source.js';
import { createRandom } from './random.js';
import { amortised, flatness, median, middleOf, periodMeans } from './statistics.js';

test('the floor counts the symmetric algorithm and takes the slower of arithmetic and memory', () => {
  const shape = { dIn: 1000, dOut: 500, batch: 10, bytesPerElement: 4, foldPeriod: 2 } as const;
  const floor = stepFloor(shape, { matmulFlops: 1e9, copyBytes: 1e9 });
  // 2d²u + d²u + 2 · 2·d·dₒ·u
  expect(floor.flops).toBe(20e6 + 10e6 + 20e6);
  // Packed C and Δ read once, and half of both read and written.
  expect(floor.bytes).toBe(4 * (1_000_500 + (2 * 1_000_500) / 2));
  expect(floor.computeMs).toBeCloseTo(50, 9);
  expect(floor.floorMs).toBe(floor.computeMs);
  expect(stepFloor(shape, { matmulFlops: 1e12, copyBytes: 1e9 }).floorMs).toBe(floor.memoryMs);
  expect(stepFloor({ ...shape, bytesPerElement: 8 }, { matmulFlops: 1e9, copyBytes: 1e9 }).bytes).toBe(2 * floor.bytes);
});

test('a fold is shared by the batches of its period, wherever the stream is cut', () => {
  const ms = Array.from({ length: 40 }, (_, i) => (i % 4 === 3 ? 50 : 10));
  expect(periodMeans(ms, 4)).toEqual(Array(10).fill(20));
  expect(amortised(ms, 4)).toBe(20);
  expect(amortised(ms.slice(2, 34), 4)).toBe(20);
  expect(amortised([10, 12], 4)).toBe(11);
  expect(middleOf(Array.from({ length: 20 }, (_, i) => i))).toEqual(Array.from({ length: 16 }, (_, i) => i + 2));
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test('a stream that grows dearer shows, and one with equal folds is flat', () => {
  const folding = Array.from({ length: 200 }, (_, i) => (i % 8 === 7 ? 90 : 10));
  expect(flatness(folding, 8)).toEqual({ lastToFirst: 1, windowBatches: 40, wholePeriods: true });
  expect(
    flatness(
      Array.from({ length: 1000 }, (_, i) => 100 + i / 10),
      1,
    ).lastToFirst,
  ).toBeCloseTo(1.99, 1);
  // 1 % of a long stream where that is more than the least number of periods.
  expect(flatness(Array(10_000).fill(1), 4).windowBatches).toBe(100);
  expect(flatness([1, 1, 1, 3, 3, 3], 8)).toEqual({ lastToFirst: 3, windowBatches: 3, wholePeriods: false });
});

test('random numbers repeat with their seed and are normal', () => {
  const [a, b, c] = [createRandom(1), createRandom(1), createRandom(2)];
  const first = Array.from({ length: 20_000 }, () => a.normal());
  expect(first.slice(0, 50)).toEqual(Array.from({ length: 50 }, () => b.normal()));
  expect(c.normal()).not.toBe(first[0]);
  const variance = first.reduce((sum, x) => sum + x * x, 0) / first.length;
  expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  expect(Math.abs(first.reduce((sum, x) => sum + x, 0) / first.length)).toBeLessThan(0.03);
});

test('keys have the second moment that their source states', () => {
  const source = createKeySource(16, 7);
  const count = 40_000;
  const { data } = source.next(count);
  const { data: u, count: directions } = source.directions;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < 16; i++)
    for (let j = 0; j < 16; j++) {
      let sum = 0;
      for (let k = 0; k < count; k++) sum += data[k * 16 + i] * data[k * 16 + j];
      let expected = i === j ? source.noise : 0;
      for (let r = 0; r < directions; r++) expected += u[r * 16 + i] * u[r * 16 + j];
      difference += (sum / count - expected) ** 2;
      size += expected ** 2;
    }
  expect(Math.sqrt(difference / size)).toBeLessThan(0.03);
  expect(createKeySource(16, 7).next(3).data).toEqual(data.slice(0, 48));
});
