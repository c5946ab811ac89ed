import { NumberHeap } from './number-heap.js';

/** Which neighbouring symbols join. */
export interface MergeRules {
  /**
   * The rule that joins two neighbours, −1 where none does.
   * @param left, right their ids, −1 for a character that the vocabulary lacks
   * @param from, to the units both stand for
   */
  rule(left: number, right: number, from: number, to: number): number;
  /** Lower joins first; equal ones from the left. */
  rank(rule: number): number;
  /** Id of the token that a rule makes. */
  result(rule: number): number;
}

/** Symbols of a piece in order: symbol i is units [starts[i], ends[i]) and token ids[i], −1 for none. */
export interface Symbols {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** A rank and a position share one double of 53 bits. */
const positions = 2 ** 31;
/** Most ranks there may be. */
export const mostRanks = 2 ** 22;

/**
 * Joins neighbours, lowest rank first, until no rule applies: n log n in the number of symbols, with a heap of
 * (rank, position) over a linked list.
 */
export function mergeSymbols(symbols: Symbols, rules: MergeRules): Symbols {
  const { ids, starts, ends } = symbols;
  const count = ids.length;
  const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const alive = new Uint8Array(count).fill(1);
  const ruleAt = (left: number): number => {
    const right = next[left];
    return right < 0 ? -1 : rules.rule(ids[left], ids[right], starts[left], ends[right]);
  };
  const heap = new NumberHeap();
  const offer = (left: number): void => {
    const rule = ruleAt(left);
    if (rule >= 0) heap.push(rules.rank(rule) * positions + left);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const left = top % positions;
    const rule = alive[left] === 1 ? ruleAt(left) : -1;
    const outdated = rule < 0 || rules.rank(rule) !== Math.floor(top / positions);
    if (outdated) continue;
    const right = next[left];
    ids[left] = rules.result(rule);
    ends[left] = ends[right];
    alive[right] = 0;
    next[left] = next[right];
    if (next[right] >= 0) previous[next[right]] = left;
    offer(left);
    if (previous[left] >= 0) offer(previous[left]);
  }
  const merged: Symbols = { ids: [], starts: [], ends: [] };
  for (let i = 0; i >= 0 && i < count; i = next[i]) {
    merged.ids.push(ids[i]);
    merged.starts.push(starts[i]);
    merged.ends.push(ends[i]);
  }
  return merged;
}
