import { describe, expect, it } from 'vitest';
import { ModelError } from './errors.js';
import { candidates, checkSampling, draw, logProbabilities, randomNumbers, type Sampling } from './sampling.js';

/** Logits of given probabilities. */
const logitsOf = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

function shares(logits: Float32Array, sampling: Sampling): Record<number, number> {
  const { ids, probabilities } = candidates(logits, sampling);
  return Object.fromEntries(Array.from(ids, (id, i) => [id, Number(probabilities[i].toFixed(5))]));
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'none';
  } catch (error) {
    return error instanceof ModelError ? error.code : 'other';
  }
};

describe('candidates', () => {
  const logits = logitsOf(0.1, 0.4, 0.2, 0.3);

  it('are all tokens at their probabilities at temperature 1', () => {
    expect(shares(logits, { temperature: 1 })).toEqual({ 0: 0.1, 1: 0.4, 2: 0.2, 3: 0.3 });
  });

  it('are sharper below 1 and flatter above: p^(1/T), divided by its sum', () => {
    // Squares 0.01, 0.16, 0.04, 0.09 of sum 0.3; roots of 0.16, 0.64, 0.04, 0.16 are 0.4, 0.8, 0.2, 0.4 of sum 1.8.
    expect(shares(logits, { temperature: 0.5 })).toEqual({ 0: 0.03333, 1: 0.53333, 2: 0.13333, 3: 0.3 });
    expect(shares(logitsOf(0.16, 0.64, 0.04, 0.16), { temperature: 2 })).toEqual({
      0: 0.22222,
      1: 0.44444,
      2: 0.11111,
      3: 0.22222,
    });
  });

  it('are the one most likely token at temperature 0 or top-k 1, the lower id of two', () => {
    expect(shares(logits, {})).toEqual({ 1: 1 });
    expect(shares(logits, { temperature: 0, topP: 1, topK: 4 })).toEqual({ 1: 1 });
    expect(shares(logits, { temperature: 5, topK: 1 })).toEqual({ 1: 1 });
    expect(shares(logitsOf(0.2, 0.4, 0.4), {})).toEqual({ 1: 1 });
  });

  it.each([
    [0.39, { 1: 1 }],
    [0.41, { 1: 0.57143, 3: 0.42857 }],
    [0.69, { 1: 0.57143, 3: 0.42857 }],
    [0.71, { 1: 0.44444, 3: 0.33333, 2: 0.22222 }],
    [0.95, { 1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1 }],
    [1, { 1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1 }],
  ])('of top-p %d are the fewest that reach it', (topP, expected) => {
    expect(shares(logits, { temperature: 1, topP })).toEqual(expected);
  });

  it('of top-p at exactly the sum of some are those', () => {
    expect(shares(Float32Array.of(0, 0, 0, 0), { temperature: 1, topP: 0.5 })).toEqual({ 0: 0.5, 1: 0.5 });
  });

  it('of top-k are that many, and top-p counts within them', () => {
    expect(shares(logits, { temperature: 1, topK: 2 })).toEqual({ 1: 0.57143, 3: 0.42857 });
    // 0.4 of 0.9 is 0.44: below 0.5; of all it would have been 0.4 and of two 0.57.
    expect(shares(logits, { temperature: 1, topK: 3, topP: 0.5 })).toEqual({ 1: 0.57143, 3: 0.42857 });
    expect(shares(logits, { temperature: 1, topK: 2, topP: 0.5 })).toEqual({ 1: 1 });
    expect(shares(logits, { temperature: 1, topK: 99 })).toEqual(shares(logits, { temperature: 1 }));
  });

  it('of a large vocabulary are the same as by sorting it', () => {
    const random = randomNumbers(3);
    const large = Float32Array.from({ length: 20_000 }, () => 12 * random());
    const weights = Float64Array.from(large, Math.exp);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const sorted = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
    for (const topP of [0.001, 0.3, 0.9, 0.9999]) {
      const { ids } = candidates(large, { temperature: 1, topP });
      const mass = (count: number) => sorted.slice(0, count).reduce((sum, id) => sum + weights[id] / total, 0);
      expect([...Array.from(ids)]).toEqual(sorted.slice(0, ids.length));
      expect(mass(ids.length)).toBeGreaterThanOrEqual(topP - 1e-12);
      expect(mass(ids.length - 1)).toBeLessThan(topP);
    }
    expect(Array.from(candidates(large, { temperature: 3, topK: 5000 }).ids)).toEqual(sorted.slice(0, 5000));
  });

  it('leave out what is impossible, and there must be one', () => {
    const { NEGATIVE_INFINITY } = Number;
    expect(shares(Float32Array.of(NEGATIVE_INFINITY, 0, 0), { temperature: 1, topP: 0.999 })).toEqual({
      1: 0.5,
      2: 0.5,
    });
    expect(codeOf(() => candidates(Float32Array.of(Number.NaN, Number.NaN), { temperature: 1 }))).toBe('NOT_A_NUMBER');
    expect(codeOf(() => candidates(Float32Array.of(NEGATIVE_INFINITY), {}))).toBe('NOT_A_NUMBER');
  });
});

describe('drawing', () => {
  it('takes the candidate at the place in the cumulative distribution', () => {
    const found = { ids: [7, 5, 3], probabilities: [0.5, 0.25, 0.25] };
    expect([0, 0.49, 0.5, 0.74, 0.75, 0.9999].map((place) => draw(found, place))).toEqual([7, 7, 5, 5, 3, 3]);
    expect(draw({ ids: [1, 2], probabilities: [0.3, 0.3] }, 0.99)).toBe(2);
  });

  it('has the frequencies of the distribution', () => {
    const found = candidates(logitsOf(0.1, 0.4, 0.2, 0.3), { temperature: 1, topP: 0.85 });
    const next = randomNumbers(11);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 9000; i++) counts[draw(found, next())]++;
    // Expected 4000, 2000, 3000 with standard deviations of 47, 39 and 45.
    expect(counts[0]).toBe(0);
    for (const [id, expected] of [
      [1, 4000],
      [2, 2000],
      [3, 3000],
    ])
      expect(Math.abs(counts[id] - expected)).toBeLessThan(200);
  });

  it('repeats with a seed; seeds and streams differ', () => {
    const take = (seed: number, stream?: number): number[] => {
      const next = randomNumbers(seed, stream);
      return Array.from({ length: 5 }, next);
    };
    expect(take(1)).toEqual(take(1, 0));
    const all = [take(1), take(1, 1), take(2), take(-1), take(0), take(Number.MAX_SAFE_INTEGER)];
    expect(new Set(all.flat()).size).toBe(30);
    for (const number of all.flat()) expect(number >= 0 && number < 1).toBe(true);
  });
});

it('log-probabilities are those before temperature, the most likely first', () => {
  const { chosen, top } = logProbabilities(logitsOf(0.1, 0.4, 0.2, 0.3), 2, 2);
  expect(chosen.id).toBe(2);
  expect(chosen.logProbability).toBeCloseTo(Math.log(0.2), 6);
  expect(top.map(({ id }) => id)).toEqual([1, 3]);
  expect(top[0].logProbability).toBeCloseTo(Math.log(0.4), 6);
  expect(logProbabilities(Float32Array.of(500, 0), 1, 0)).toEqual({ chosen: { id: 1, logProbability: -500 }, top: [] });
});

it.each([
  [{ temperature: -1 }],
  [{ temperature: Number.NaN }],
  [{ temperature: Number.POSITIVE_INFINITY }],
  [{ topP: 0 }],
  [{ topP: 1.01 }],
  [{ topK: 0 }],
  [{ topK: 1.5 }],
  [{ seed: 0.5 }],
])('%j is refused', (sampling) => {
  expect(codeOf(() => checkSampling(sampling))).toBe('INVALID_SAMPLING');
});
