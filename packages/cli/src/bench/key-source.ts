import type { Columns64 } from '@errata/rls';
import { createRandom } from './random.js';

/** Directions that the keys share. */
const DIRECTIONS = 16;
/** Variance along direction j falls as (j + 1)^−DECAY, as spectra of hidden activations do. */
const DECAY = 1.4;
/** Share of a key's energy in the common directions. */
const COMMON = 0.5;
/** E[gate²] of {@link gated}: that of max(0, x − ½)² for a normal x. */
const GATE_POWER = 0.20963926;

/**
 * Keys as a gated feed-forward layer has them: sparse, heavy-tailed entries (a rectified gate times a normal) of unit
 * variance, plus a few directions of decaying strength that all keys share. E[k kᵀ] = noise · I + U Uᵀ is known exactly.
 */
export interface KeySource {
  readonly dimension: number;
  /** Variance of every entry apart from the common directions. */
  readonly noise: number;
  /** U side by side, dimension × 16, scaled. */
  readonly directions: Columns64;
  /** The next `count` keys. */
  next(count: number): Columns64;
  /** The next `count` residuals of `length`, of norm about 1. */
  nextResidual(length: number, count: number): Columns64;
}

/** The same keys for the same dimension and seed, on every machine. */
export function createKeySource(dimension: number, seed: number): KeySource {
  const fixed = createRandom(seed);
  const noise = 1 - COMMON;
  const weights = Array.from({ length: DIRECTIONS }, (_, j) => (j + 1) ** -DECAY);
  const total = weights.reduce((a, b) => a + b);
  const directions = new Float64Array(dimension * DIRECTIONS);
  for (let j = 0; j < DIRECTIONS; j++) {
    const scale = Math.sqrt((COMMON * weights[j]) / total);
    for (let i = 0; i < dimension; i++) directions[j * dimension + i] = scale * fixed.normal();
  }
  const random = createRandom(seed + 1);
  const entry = Math.sqrt(noise / GATE_POWER);
  const gated = () => {
    const gate = random.normal() - 0.5;
    return gate > 0 ? gate * random.normal() : 0;
  };
  return {
    dimension,
    noise,
    directions: { length: dimension, count: DIRECTIONS, data: directions },
    next(count) {
      const data = new Float64Array(dimension * count);
      for (let column = 0; column < count; column++) {
        const key = data.subarray(column * dimension, (column + 1) * dimension);
        for (let i = 0; i < dimension; i++) key[i] = entry * gated();
        for (let j = 0; j < DIRECTIONS; j++) {
          const strength = random.normal();
          const from = j * dimension;
          for (let i = 0; i < dimension; i++) key[i] += strength * directions[from + i];
        }
      }
      return { length: dimension, count, data };
    },
    nextResidual(length, count) {
      const scale = 1 / Math.sqrt(length);
      return { length, count, data: Float64Array.from({ length: length * count }, () => scale * random.normal()) };
    },
  };
}
