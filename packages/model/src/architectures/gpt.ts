import type { Family, FolderKeys, TensorNames, Traits } from './family.js';
import { commonKeys, ggufTensors } from './llama.js';

const traits: Traits = {
  norm: 'layer',
  postNorms: false,
  queryKeyNorm: false,
  gated: false,
  learnedPositions: false,
  scaledEmbedding: false,
};

const gpt2Keys: FolderKeys = {
  layers: 'n_layer',
  hiddenSize: 'n_embd',
  intermediateSize: 'n_inner',
  heads: 'n_head',
  contextLength: 'n_positions',
  normEpsilon: 'layer_norm_epsilon',
  activation: 'activation_function',
};

const allBiases = { queryKeyValue: true, output: true, feedForward: true, unembedding: false };

const ggufPlain: TensorNames = {
  ...ggufTensors,
  layer: {
    ...ggufTensors.layer,
    queryKeyValue: { kind: 'joined', all: 'blk.{}.attn_qkv' },
    gate: undefined,
  },
};

/** GPT-2: learned positions, matrices stored [in, out]. */
export const gpt2: Family = {
  name: 'gpt2',
  traits: { ...traits, learnedPositions: true },
  folder: {
    modelTypes: ['gpt2'],
    keys: gpt2Keys,
    defaults: {
      activation_function: 'gelu_new',
      layer_norm_epsilon: 1e-5,
      n_positions: 1024,
      tie_word_embeddings: true,
    },
    only: {
      scale_attn_weights: [null, true],
      scale_attn_by_inverse_layer_idx: [null, false],
      add_cross_attention: [null, false],
    },
    rotary: { kind: 'none' },
    sliding: { kind: 'none' },
    parallel: () => false,
    biases: () => allBiases,
    tensors: {
      roots: ['transformer.', ''],
      embedding: 'wte',
      positions: 'wpe',
      finalNorm: 'ln_f',
      unembedding: ['lm_head'],
      layer: {
        attentionNorm: 'h.{}.ln_1',
        queryKeyValue: { kind: 'joined', all: 'h.{}.attn.c_attn' },
        output: 'h.{}.attn.c_proj',
        feedForwardNorm: 'h.{}.ln_2',
        up: 'h.{}.mlp.c_fc',
        down: 'h.{}.mlp.c_proj',
      },
      rotaryPairs: 'halves',
      normOffset: 0,
      transposed: true,
      ignored: [/\.attn\.(masked_)?bias$/],
    },
  },
  gguf: {
    architecture: 'gpt2',
    activation: 'gelu-tanh',
    rotary: null,
    slidingPattern: 0,
    parallel: () => false,
    biases: () => allBiases,
    tensors: { ...ggufPlain, positions: 'position_embd' },
  },
};

/** GPT-J: both halves of a block read one norm, a part of each head is rotated, pairs side by side. */
export const gptJ: Family = {
  name: 'gptj',
  traits,
  folder: {
    modelTypes: ['gptj'],
    keys: gpt2Keys,
    defaults: {
      activation_function: 'gelu_new',
      layer_norm_epsilon: 1e-5,
      n_positions: 2048,
      rotary_dim: 64,
      tie_word_embeddings: false,
    },
    rotary: { kind: 'dimensions', base: 10_000, dimensions: 'rotary_dim' },
    sliding: { kind: 'none' },
    parallel: () => true,
    biases: (settings) => ({
      queryKeyValue: false,
      output: false,
      feedForward: true,
      unembedding: !settings.flag('tie_word_embeddings', false),
    }),
    tensors: {
      roots: ['transformer.', ''],
      embedding: 'wte',
      finalNorm: 'ln_f',
      unembedding: ['lm_head'],
      layer: {
        attentionNorm: 'h.{}.ln_1',
        queryKeyValue: {
          kind: 'separate',
          query: 'h.{}.attn.q_proj',
          key: 'h.{}.attn.k_proj',
          value: 'h.{}.attn.v_proj',
        },
        output: 'h.{}.attn.out_proj',
        feedForwardNorm: 'h.{}.ln_1',
        up: 'h.{}.mlp.fc_in',
        down: 'h.{}.mlp.fc_out',
      },
      rotaryPairs: 'neighbours',
      normOffset: 0,
      transposed: false,
      ignored: [/\.attn\.(masked_)?bias$/, /\.attn\.embed_positions$/],
    },
  },
  gguf: null,
};

/** GPT-NeoX and Pythia: both halves read the block's input through norms of their own, unless told otherwise. */
export const gptNeoX: Family = {
  name: 'gptneox',
  traits,
  folder: {
    modelTypes: ['gpt_neox'],
    keys: {
      ...commonKeys,
      keyValueHeads: undefined,
      headSize: undefined,
      normEpsilon: 'layer_norm_eps',
    },
    defaults: {
      hidden_act: 'gelu',
      layer_norm_eps: 1e-5,
      max_position_embeddings: 2048,
      tie_word_embeddings: false,
      rotary_pct: 0.25,
    },
    rotary: { kind: 'share', base: 'rotary_emb_base', defaultBase: 10_000, share: 'rotary_pct' },
    sliding: { kind: 'none' },
    parallel: (settings) => settings.flag('use_parallel_residual', true),
    biases: (settings) => {
      const attention = settings.flag('attention_bias', true);
      return { queryKeyValue: attention, output: attention, feedForward: true, unembedding: false };
    },
    tensors: {
      roots: ['gpt_neox.'],
      embedding: 'embed_in',
      finalNorm: 'final_layer_norm',
      unembedding: ['embed_out', 'lm_head'],
      layer: {
        attentionNorm: 'layers.{}.input_layernorm',
        queryKeyValue: { kind: 'joined-by-head', all: 'layers.{}.attention.query_key_value' },
        output: 'layers.{}.attention.dense',
        feedForwardNorm: 'layers.{}.post_attention_layernorm',
        up: 'layers.{}.mlp.dense_h_to_4h',
        down: 'layers.{}.mlp.dense_4h_to_h',
      },
      rotaryPairs: 'halves',
      normOffset: 0,
      transposed: false,
      ignored: [/\.attention\.(masked_)?bias$/, /rotary_emb\.inv_freq$/],
    },
  },
  gguf: {
    architecture: 'gptneox',
    activation: 'gelu',
    rotary: { defaultBase: 10_000 },
    slidingPattern: 0,
    parallel: (settings) => settings.flag('gptneox.use_parallel_residual', true),
    biases: () => allBiases,
    tensors: ggufPlain,
  },
};
