import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeSymbols, type Symbols } from './merge.js';
import { NumberHeap } from './number-heap.js';
import { PairTable } from './pair-table.js';

/** Symbols a and b; rule i joins pairs[i] into symbol 2 + i. */
type Pairs = readonly (readonly [number, number])[];

function symbolsOf(ids: readonly number[]): Symbols {
  return { ids: [...ids], starts: ids.map((_, i) => i), ends: ids.map((_, i) => i + 1) };
}

function merged(ids: readonly number[], pairs: Pairs): { ids: number[]; ends: number[]; lookups: number } {
  let lookups = 0;
  const table = new PairTable(pairs.length);
  pairs.forEach(([left, right], rank) => {
    if (table.get(left, right) < 0) table.add(left, right, rank);
  });
  const result = mergeSymbols(symbolsOf(ids), {
    rule: (left, right) => {
      lookups++;
      return table.get(left, right);
    },
    rank: (rule) => rule,
    result: (rule) => 2 + rule,
  });
  return { ids: result.ids, ends: result.ends, lookups };
}

/** By definition: join the leftmost pair of the lowest rank, again and again. */
function naive(ids: readonly number[], pairs: Pairs): number[] {
  const parts = [...ids];
  for (;;) {
    const ranks = parts
      .slice(1)
      .map((right, i) => pairs.findIndex((pair) => pair[0] === parts[i] && pair[1] === right));
    const found = ranks.filter((rank) => rank >= 0);
    if (found.length === 0) return parts;
    const best = Math.min(...found);
    parts.splice(ranks.indexOf(best), 2, 2 + best);
  }
}

describe('merging', () => {
  it('joins the leftmost pair of the lowest rank, again and again', () => {
    const pairs = fc.array(fc.tuple(fc.nat(6), fc.nat(6)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(fc.nat(1), { maxLength: 40 }), pairs, (ids, rules) => {
        const got = merged(ids, rules);
        expect(got.ids).toEqual(naive(ids, rules));
        if (ids.length > 0) expect(got.ends.at(-1)).toBe(ids.length);
      }),
      { numRuns: 300 },
    );
  });

  it('looks a few pairs up a symbol, however long the word', () => {
    // a a → 2, 2 2 → 3, …: everything joins.
    const doubling: Pairs = [[0, 0], ...Array.from({ length: 16 }, (_, i) => [2 + i, 2 + i] as const)];
    const length = 100_000;
    const { ids, lookups } = merged(new Array<number>(length).fill(0), doubling);
    expect(ids.length).toBeLessThan(20);
    expect(lookups).toBeLessThan(8 * length);
  });
});

describe('the heap', () => {
  it('gives numbers out in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (numbers) => {
        const heap = new NumberHeap();
        for (const number of numbers) heap.push(number);
        const sorted = numbers.map(() => heap.pop());
        expect(sorted).toEqual(numbers.toSorted((a, b) => a - b));
        expect(heap.pop()).toBeUndefined();
      }),
    );
  });
});

describe('the table of pairs', () => {
  it('finds what was added, the last for a pair added twice', () => {
    const pairs = fc.array(fc.tuple(fc.nat(50), fc.nat(50)), { maxLength: 200 });
    fc.assert(
      fc.property(pairs, (added) => {
        const table = new PairTable(added.length);
        const wanted = new Map<string, number>();
        added.forEach(([left, right], i) => {
          table.add(left, right, i);
          wanted.set(`${left} ${right}`, i);
        });
        for (let left = 0; left <= 50; left++)
          for (let right = 0; right <= 50; right++)
            if (table.get(left, right) !== (wanted.get(`${left} ${right}`) ?? -1)) return false;
        return true;
      }),
      { numRuns: 20 },
    );
  });
});
