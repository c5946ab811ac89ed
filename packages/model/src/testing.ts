import { existsSync, readFileSync } from 'node:fs';
import { createEngine, type Engine } from '@errata/tensor';
import { byteToChar } from './byte-alphabet.js';
import type { ModelConfig } from './config.js';
import { createRotary } from './rotary.js';
import { ByteLevelTokenizer, type Tokenizer } from './tokenizer.js';
import type { LayerWeights, Model, Tensor } from './types.js';

/** The weight file that tests run on, or '' where the set-up has not provided one (the tests then say so and skip). */
export const testModelPath = availableModel();

function availableModel(): string {
  const path = process.env.MODEL_PATH ?? '';
  if (path !== '' && existsSync(path)) return path;
  console.warn('MODEL_PATH names no weight file: tests on the real model are skipped');
  return '';
}

/**
 * The WebGPU engine, on an adapter in software too, or null where there is none (the tests are then skipped). Where set-up
 * has put a driver, none is a failure.
 */
export async function webGpuEngine(): Promise<Engine | null> {
  try {
    return await createEngine({ prefer: 'webgpu', softwareAdapter: true });
  } catch (error) {
    if (process.env.ERRATA_TEST_VULKAN !== undefined) throw error;
    console.warn('no Vulkan driver here: npm run setup -- --test brings a software one to a Debian machine');
    return null;
  }
}

/** A fixture of this package, parsed. */
export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')) as T;
}

const tinyRotary = createRotary(10_000, 6, { kind: 'none' });

const tinyConfig: ModelConfig = {
  architecture: 'llama',
  name: 'tiny',
  layers: 4,
  hiddenSize: 24,
  intermediateSize: 40,
  heads: 4,
  keyValueHeads: 2,
  headSize: 6,
  contextLength: 300,
  vocabularySize: 258,
  norm: 'rms',
  normEpsilon: 1e-5,
  postNorms: false,
  queryKeyNorm: false,
  activation: 'silu',
  gated: true,
  parallel: false,
  biases: { queryKeyValue: false, output: false, feedForward: false, unembedding: false },
  learnedPositions: false,
  rotary: { full: tinyRotary, sliding: tinyRotary },
  attention: ['full', 'full', 'full', 'full'],
  window: null,
  queryScale: 6 ** -0.5,
  scoreCap: null,
  logitCap: null,
  embeddingScale: 1,
  tied: true,
};

/** A tokenizer whose tokens are bytes, after the sink and an end token. */
export function byteTokenizer(): Tokenizer {
  const tokens = ['<|endoftext|>', '<|end|>', ...byteToChar];
  return new ByteLevelTokenizer({ tokens, merges: [], specialIds: [0, 1], endIds: [1] });
}

/** Traits of architectures other than that of {@link tinyModel}, for what has to work with all. */
export const tinyTraits = {
  'Llama-like': {},
  'GPT-J-like': {
    norm: 'layer',
    parallel: true,
    gated: false,
    activation: 'gelu-tanh',
    tied: false,
    biases: { queryKeyValue: false, output: true, feedForward: true, unembedding: true },
  },
  'GPT-2-like': {
    norm: 'layer',
    gated: false,
    activation: 'gelu',
    learnedPositions: true,
    rotary: { full: null, sliding: null },
    biases: { queryKeyValue: true, output: true, feedForward: true, unembedding: false },
  },
  'Gemma-like': {
    postNorms: true,
    queryKeyNorm: true,
    activation: 'gelu-tanh',
    attention: ['sliding', 'full', 'sliding', 'full'],
    window: 5,
    scoreCap: 4,
    logitCap: 12,
    embeddingScale: Math.sqrt(tinyConfig.hiddenSize),
  },
} satisfies Record<string, Partial<ModelConfig>>;

/**
 * A model of a few thousand random weights whose tokens are bytes: what needs no language is tested on it.
 * @param traits what it has other than a Llama; sizes stay
 */
export function tinyModel(engine: Engine, seed = 7, traits: Partial<ModelConfig> = {}): Model {
  const { tf } = engine;
  const random = generator(seed);
  const config = { ...tinyConfig, ...traits };
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize, biases } = config;
  const matrix = (rows: number, columns: number): Tensor =>
    tf.tensor2d(
      Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * (4 / Math.sqrt(columns))),
      [rows, columns],
    );
  const vector = (wanted: boolean, size: number, least = -0.5): Tensor | null =>
    wanted ? tf.tensor1d(Float32Array.from({ length: size }, () => least + random())) : null;
  const layered = config.norm === 'layer';
  const slots = heads + 2 * keyValueHeads;
  const embedding = matrix(vocabularySize, hiddenSize);
  const finalNorm = vector(true, hiddenSize, 3) as Tensor;
  const layers = config.attention.map(
    (attention): LayerWeights => ({
      attention,
      queryKeyValue: matrix(slots * headSize, hiddenSize),
      output: matrix(hiddenSize, heads * headSize),
      gate: config.gated ? matrix(intermediateSize, hiddenSize) : null,
      up: matrix(intermediateSize, hiddenSize),
      down: matrix(hiddenSize, intermediateSize),
      queryKeyValueBias: vector(biases.queryKeyValue || layered, slots * headSize),
      queryKeyNorm: config.queryKeyNorm ? matrix(heads + keyValueHeads, headSize) : null,
      outputBias: vector(biases.output, hiddenSize),
      attentionPostNorm: vector(config.postNorms, hiddenSize, 0.5),
      gateBias: vector(biases.feedForward && config.gated, intermediateSize),
      upBias: vector(biases.feedForward || layered, intermediateSize),
      downBias: vector(biases.feedForward, hiddenSize),
      feedForwardPostNorm: vector(config.postNorms, hiddenSize, 0.5),
    }),
  );
  return {
    id: `tiny-${seed}`,
    engine,
    config,
    tokenizer: byteTokenizer(),
    sinkId: 0,
    chatTemplate: null,
    chatTokens: { bos: '', eos: '' },
    weights: {
      embedding,
      finalNorm,
      layers,
      positions: config.learnedPositions ? matrix(config.contextLength, hiddenSize) : null,
      unembedding: config.tied ? embedding : matrix(vocabularySize, hiddenSize),
      unembeddingBias: vector(biases.unembedding, vocabularySize),
      finalNormBias: vector(layered, hiddenSize),
      epsilon: tf.scalar(config.normEpsilon),
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
