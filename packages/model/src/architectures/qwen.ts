import type { Family } from './family.js';
import { commonKeys, ggufTensors, llamaTensors, llamaTraits, noBiases } from './llama.js';

const defaults = {
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  max_position_embeddings: 32_768,
  tie_word_embeddings: false,
  sliding_window: 4096,
  max_window_layers: 28,
};

const qwen2Biases = { ...noBiases, queryKeyValue: true };

/** Qwen 2 and 2.5: Llama with biases of queries, keys and values. */
export const qwen2: Family = {
  name: 'qwen2',
  traits: llamaTraits,
  folder: {
    modelTypes: ['qwen2'],
    keys: { ...commonKeys, headSize: undefined },
    defaults,
    rotary: { kind: 'whole', base: 'rope_theta', defaultBase: 10_000 },
    sliding: { kind: 'from' },
    parallel: () => false,
    biases: () => qwen2Biases,
    tensors: llamaTensors,
  },
  gguf: {
    architecture: 'qwen2',
    activation: 'silu',
    rotary: { defaultBase: 10_000 },
    slidingPattern: 0,
    parallel: () => false,
    biases: () => qwen2Biases,
    tensors: ggufTensors,
  },
};

/** Qwen 3: norms of queries and keys instead of biases, heads of a size of their own. */
export const qwen3: Family = {
  name: 'qwen3',
  traits: { ...llamaTraits, queryKeyNorm: true },
  folder: {
    modelTypes: ['qwen3'],
    keys: commonKeys,
    defaults: { ...defaults, head_dim: 128 },
    rotary: { kind: 'whole', base: 'rope_theta', defaultBase: 10_000 },
    sliding: { kind: 'from' },
    parallel: () => false,
    biases: (settings) => {
      const attention = settings.flag('attention_bias', false);
      return { ...noBiases, queryKeyValue: attention, output: attention };
    },
    tensors: {
      ...llamaTensors,
      layer: {
        ...llamaTensors.layer,
        queryNorm: 'layers.{}.self_attn.q_norm',
        keyNorm: 'layers.{}.self_attn.k_norm',
      },
    },
  },
  gguf: {
    architecture: 'qwen3',
    activation: 'silu',
    rotary: { defaultBase: 10_000 },
    slidingPattern: 0,
    parallel: () => false,
    biases: () => noBiases,
    tensors: {
      ...ggufTensors,
      layer: { ...ggufTensors.layer, queryNorm: 'blk.{}.attn_q_norm', keyNorm: 'blk.{}.attn_k_norm' },
    },
  },
};
