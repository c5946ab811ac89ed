import { embed, forward, logits } from './forward.js';
import { createLayout } from './layout.js';
import { free } from './memory.js';
import type { KeyValues, Model, Pause } from './types.js';

/** Sequences sampled side by side: more only make the cache of keys and values larger. */
const rowsTogether = 32;

export interface SampleOptions {
  /** Number of the first sequence: each depends on the seed and its own number alone. */
  readonly first: number;
  readonly count: number;
  /** Tokens of a sequence, without the sink. */
  readonly length: number;
  readonly seed: number;
  readonly pause: Pause;
  readonly onProgress?: (tokens: number) => void;
}

/**
 * Text that the unedited model makes up: ancestral sampling at temperature 1 behind the sink, without end tokens.
 * Deterministic on one engine.
 */
export async function sampleSequences(model: Model, options: SampleOptions): Promise<number[][]> {
  const sequences: number[][] = [];
  for (let at = 0; at < options.count; at += rowsTogether) {
    const numbers = Array.from(
      { length: Math.min(rowsTogether, options.count - at) },
      (_, row) => options.first + at + row,
    );
    const done = sequences.length * options.length;
    sequences.push(...(await sampleTogether(model, numbers, options, done)));
  }
  return sequences;
}

async function sampleTogether(
  model: Model,
  numbers: readonly number[],
  { length, seed, pause, onProgress }: SampleOptions,
  done: number,
): Promise<number[][]> {
  const { tf } = model.engine;
  const rows = numbers.map((number) => ({ ids: [] as number[], random: uniform(seed, number) }));
  const weights = new Float64Array(model.config.vocabularySize);
  let cache: KeyValues[] = [];
  try {
    for (let step = 0; step < length; step++) {
      const layout = createLayout(
        tf,
        model.config,
        rows.map(() => ({ first: step, count: 1 })),
        { width: step, visible: () => true },
      );
      const embedded = embed(
        model,
        rows.map(({ ids }) => ids[step - 1] ?? model.sinkId),
      );
      try {
        const past = cache.length > 0 ? { past: cache, releasePast: true } : {};
        const run = await forward(model, embedded, layout, { ...past, keepKeyValues: true, pause });
        cache = run.keyValues;
        const scores = tf.tidy(() => logits(model, run.hidden));
        run.hidden.dispose();
        const values = await scores.data<'float32'>();
        scores.dispose();
        const vocabulary = values.length / rows.length;
        for (const [row, { ids, random }] of rows.entries())
          ids.push(
            draw(values.subarray(row * vocabulary, (row + 1) * vocabulary), model.tokenizer.endIds, random(), weights),
          );
      } finally {
        layout.dispose();
        embedded.dispose();
      }
      onProgress?.(done + (step + 1) * rows.length);
      await pause();
    }
    return rows.map(({ ids }) => ids);
  } finally {
    free(tf, cache);
  }
}

/** The token at a place in [0, 1) of the cumulative distribution. @param weights room for one for each token */
function draw(scores: Float32Array, forbidden: ReadonlySet<number>, place: number, weights: Float64Array): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < scores.length; id++) if (scores[id] > highest && !forbidden.has(id)) highest = scores[id];
  let total = 0;
  for (let id = 0; id < scores.length; id++) {
    weights[id] = forbidden.has(id) ? 0 : Math.exp(scores[id] - highest);
    total += weights[id];
  }
  let left = place * total;
  let last = 0;
  for (let id = 0; id < scores.length; id++) {
    if (weights[id] === 0) continue;
    last = id;
    left -= weights[id];
    if (left < 0) break;
  }
  return last;
}

/** Numbers in [0, 1) that depend on the seed and the number of the sequence (mulberry32 behind a mix of the two). */
function uniform(seed: number, number: number): () => number {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
