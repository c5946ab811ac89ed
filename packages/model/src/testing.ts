import { existsSync, readFileSync } from 'node:fs';
import type { Engine } from '@errata/tensor';
import { byteToChar } from './byte-alphabet.js';
import type { ModelConfig } from './config.js';
import { ByteLevelTokenizer, type Tokenizer } from './tokenizer.js';
import type { Model, Tensor } from './types.js';

/** The weight file that tests run on, or '' where the set-up has not provided one (the tests then say so and skip). */
export const testModelPath = availableModel();

function availableModel(): string {
  const path = process.env.MODEL_PATH ?? '';
  if (path !== '' && existsSync(path)) return path;
  console.warn('MODEL_PATH names no weight file: tests on the real model are skipped');
  return '';
}

/** A fixture of this package, parsed. */
export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')) as T;
}

const tinyConfig: ModelConfig = {
  architecture: 'llama',
  name: 'tiny',
  layers: 4,
  hiddenSize: 24,
  intermediateSize: 40,
  heads: 4,
  keyValueHeads: 2,
  headSize: 6,
  ropeBase: 10_000,
  normEpsilon: 1e-5,
  contextLength: 300,
  vocabularySize: 258,
};

/** A tokenizer whose tokens are bytes, after the sink and an end token. */
export function byteTokenizer(): Tokenizer {
  const tokens = ['<|endoftext|>', '<|end|>', ...byteToChar];
  return new ByteLevelTokenizer({ tokens, merges: [], specialIds: [0, 1], endIds: [1] });
}

/** A model of a few thousand random weights whose tokens are bytes: what needs no language is tested on it. */
export function tinyModel(engine: Engine, seed = 7): Model {
  const { tf } = engine;
  const random = generator(seed);
  const matrix = (rows: number, columns: number): Tensor =>
    tf.tensor2d(
      Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * (4 / Math.sqrt(columns))),
      [rows, columns],
    );
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = tinyConfig;
  const embedding = matrix(vocabularySize, hiddenSize);
  return {
    id: `tiny-${seed}`,
    engine,
    config: tinyConfig,
    tokenizer: byteTokenizer(),
    sinkId: 0,
    chatTemplate: null,
    weights: {
      embedding,
      unembedding: embedding,
      finalNorm: tf.tensor1d(Float32Array.from({ length: hiddenSize }, () => 3 + random())),
      epsilon: tf.scalar(tinyConfig.normEpsilon),
      layers: Array.from({ length: tinyConfig.layers }, () => ({
        queryKeyValue: matrix((heads + 2 * keyValueHeads) * headSize, hiddenSize),
        output: matrix(hiddenSize, heads * headSize),
        gate: matrix(intermediateSize, hiddenSize),
        up: matrix(intermediateSize, hiddenSize),
        down: matrix(hiddenSize, intermediateSize),
      })),
    },
  };
}

/** A small deterministic generator of numbers in [0, 1) (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
