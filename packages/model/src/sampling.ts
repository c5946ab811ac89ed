import { ModelError } from './errors.js';

/** How the next token is chosen: temperature first, then `topK`, then `topP` of what is left. */
export interface Sampling {
  /** Divides the logits; 0 (the default) takes the most likely token and makes the rest of no effect. */
  readonly temperature?: number;
  /** The fewest most likely tokens whose probabilities reach this, in (0, 1]. */
  readonly topP?: number;
  /** So many most likely tokens, 1 or more. */
  readonly topK?: number;
  /** An integer; equal seeds draw equal numbers. Random when left out. */
  readonly seed?: number;
}

/** Tokens that may be drawn, with probabilities that add up to 1. */
export interface Candidates {
  readonly ids: ArrayLike<number>;
  readonly probabilities: ArrayLike<number>;
}

/** @throws ModelError INVALID_SAMPLING naming the value */
export function checkSampling({ temperature = 0, topP = 1, topK = 1, seed = 0 }: Sampling): void {
  const refuse = (what: string): never => {
    throw new ModelError('INVALID_SAMPLING', what);
  };
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
    refuse(`the temperature is ${temperature}: give 0 or more`);
  if (!(topP > 0 && topP <= 1)) refuse(`top-p is ${topP}: give more than 0 and at most 1`);
  if (!Number.isInteger(topK) || topK < 1) refuse(`top-k is ${topK}: give a whole number from 1 on`);
  if (!Number.isSafeInteger(seed)) refuse(`the seed is ${seed}: give a whole number`);
}

/** Whether the most likely token is always taken. */
export function isGreedy({ temperature = 0, topK }: Sampling): boolean {
  return temperature === 0 || topK === 1;
}

/**
 * What may be drawn and how probable it is. Of equally likely tokens the lower id comes first.
 * @param logits [vocabulary]
 * @throws ModelError NOT_A_NUMBER when no logit is one
 */
export function candidates(logits: Float32Array, sampling: Sampling): Candidates {
  const best = mostLikely(logits);
  if (isGreedy(sampling)) return { ids: [best], probabilities: [1] };
  const { temperature = 0, topP = 1, topK = logits.length } = sampling;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - logits[best]) / temperature) || 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const allCount = topK >= logits.length;
  if (allCount && topP === 1) return { ids: weights.map((_, id) => id), probabilities: weights.map((w) => w / total) };
  const ids = heaviest(weights, (count, sum) => (allCount ? sum >= topP * total : count >= topK)).slice(0, topK);
  const wanted = topP * (allCount ? total : ids.reduce((sum, id) => sum + weights[id], 0));
  let kept = 0;
  let sum = 0;
  // Rounding may leave the sum of all just below what is wanted: then all are kept.
  while (kept < ids.length && sum < wanted) sum += weights[ids[kept++]];
  const nucleus = ids.slice(0, kept);
  return { ids: nucleus, probabilities: nucleus.map((id) => weights[id] / sum) };
}

/** The candidate at a place in [0, 1) of the cumulative distribution. */
export function draw({ ids, probabilities }: Candidates, place: number): number {
  let sum = 0;
  for (let i = 0; i < ids.length; i++) {
    sum += probabilities[i];
    if (place < sum) return ids[i];
  }
  return ids[ids.length - 1];
}

/**
 * Numbers in [0, 1) with 53 random bits (splitmix64).
 * @param stream tells sequences of one seed apart
 */
export function randomNumbers(seed: number, stream = 0): () => number {
  const mask = (1n << 64n) - 1n;
  const mix = (value: bigint): bigint => {
    let z = value & mask;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return z ^ (z >> 31n);
  };
  let state = mix(BigInt(seed)) ^ mix(BigInt(stream) + 0x2545f4914f6cdd1dn);
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    return Number(mix(state) >> 11n) / 2 ** 53;
  };
}

/** A token and the natural logarithm of its probability. */
export interface LogProbability {
  readonly id: number;
  readonly logProbability: number;
}

/** Log-probabilities at one place, before temperature. */
export interface LogProbabilities {
  readonly chosen: LogProbability;
  /** The most likely first. */
  readonly top: readonly LogProbability[];
}

/** Log-probability of the chosen token and of the `top` most likely ones. */
export function logProbabilities(logits: Float32Array, chosen: number, top: number): LogProbabilities {
  const highest = logits[mostLikely(logits)];
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - highest) || 0);
  const logTotal = highest + Math.log(weights.reduce((sum, weight) => sum + weight, 0));
  const of = (id: number): LogProbability => ({ id, logProbability: logits[id] - logTotal });
  const ids = top === 0 ? [] : heaviest(weights, (count) => count >= top).slice(0, top);
  return { chosen: of(chosen), top: ids.map(of) };
}

function mostLikely(logits: Float32Array): number {
  let best = -1;
  let highest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++)
    if (logits[id] > highest) {
      best = id;
      highest = logits[id];
    }
  if (best >= 0 && highest < Number.POSITIVE_INFINITY) return best;
  throw new ModelError('NOT_A_NUMBER', 'no token has a finite logit: the weights of this state are broken');
}

/** Ids by falling weight, at least as many as are enough. Weights are relative to the highest, which is 1. */
function heaviest(weights: Float64Array, enough: (count: number, sum: number) => boolean): number[] {
  // Sorting a vocabulary takes tens of milliseconds, and its head is nearly always all that is needed.
  for (const least of [2 ** -10, 2 ** -20, 0]) {
    const ids: number[] = [];
    let sum = 0;
    for (let id = 0; id < weights.length; id++) {
      if (weights[id] < least) continue;
      ids.push(id);
      sum += weights[id];
    }
    if (least === 0 || enough(ids.length, sum)) return ids.sort((a, b) => weights[b] - weights[a] || a - b);
  }
  return [];
}
