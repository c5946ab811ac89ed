import type { Biases } from '../config.js';
import type { Family, FolderFormat, FolderKeys, GgufFormat, TensorNames, Traits } from './family.js';

/** Keys of config.json that most families share. */
export const commonKeys: FolderKeys = {
  layers: 'num_hidden_layers',
  hiddenSize: 'hidden_size',
  intermediateSize: 'intermediate_size',
  heads: 'num_attention_heads',
  keyValueHeads: 'num_key_value_heads',
  headSize: 'head_dim',
  contextLength: 'max_position_embeddings',
  normEpsilon: 'rms_norm_eps',
  activation: 'hidden_act',
};

/** Names of transformers' Llama, which later families keep. */
export const llamaTensors: TensorNames = {
  roots: ['model.'],
  embedding: 'embed_tokens',
  finalNorm: 'norm',
  unembedding: ['lm_head'],
  layer: {
    attentionNorm: 'layers.{}.input_layernorm',
    queryKeyValue: {
      kind: 'separate',
      query: 'layers.{}.self_attn.q_proj',
      key: 'layers.{}.self_attn.k_proj',
      value: 'layers.{}.self_attn.v_proj',
    },
    output: 'layers.{}.self_attn.o_proj',
    feedForwardNorm: 'layers.{}.post_attention_layernorm',
    gate: 'layers.{}.mlp.gate_proj',
    up: 'layers.{}.mlp.up_proj',
    down: 'layers.{}.mlp.down_proj',
  },
  rotaryPairs: 'halves',
  normOffset: 0,
  transposed: false,
  ignored: [/rotary_emb\.inv_freq$/],
};

/** Names of llama.cpp for decoders with a gate. */
export const ggufTensors: TensorNames = {
  roots: [''],
  embedding: 'token_embd',
  finalNorm: 'output_norm',
  unembedding: ['output'],
  layer: {
    attentionNorm: 'blk.{}.attn_norm',
    queryKeyValue: { kind: 'separate', query: 'blk.{}.attn_q', key: 'blk.{}.attn_k', value: 'blk.{}.attn_v' },
    output: 'blk.{}.attn_output',
    feedForwardNorm: 'blk.{}.ffn_norm',
    gate: 'blk.{}.ffn_gate',
    up: 'blk.{}.ffn_up',
    down: 'blk.{}.ffn_down',
  },
  rotaryPairs: 'halves',
  normOffset: 0,
  transposed: false,
  ignored: [/^rope_freqs\.weight$/],
};

export const llamaTraits: Traits = {
  norm: 'rms',
  postNorms: false,
  queryKeyNorm: false,
  gated: true,
  learnedPositions: false,
  scaledEmbedding: false,
};

export const noBiases: Biases = { queryKeyValue: false, output: false, feedForward: false, unembedding: false };

const folder: FolderFormat = {
  modelTypes: ['llama'],
  keys: commonKeys,
  defaults: { hidden_act: 'silu', rms_norm_eps: 1e-6, max_position_embeddings: 2048, tie_word_embeddings: false },
  rotary: { kind: 'whole', base: 'rope_theta', defaultBase: 10_000 },
  sliding: { kind: 'none' },
  parallel: () => false,
  biases: (settings) => {
    const attention = settings.flag('attention_bias', false);
    return {
      queryKeyValue: attention,
      output: attention,
      feedForward: settings.flag('mlp_bias', false),
      unembedding: false,
    };
  },
  tensors: llamaTensors,
};

/** llama.cpp keeps Llama and Mistral under this name, with the rows of queries and keys paired side by side. */
const gguf: GgufFormat = {
  architecture: 'llama',
  activation: 'silu',
  rotary: { defaultBase: 10_000 },
  slidingPattern: 0,
  parallel: () => false,
  biases: (has) => ({
    queryKeyValue: has('blk.0.attn_q.bias'),
    output: has('blk.0.attn_output.bias'),
    feedForward: has('blk.0.ffn_down.bias'),
    unembedding: false,
  }),
  tensors: { ...ggufTensors, rotaryPairs: 'neighbours' },
};

/** Llama 2, 3 and 3.x, and what is built like them: SmolLM2. */
export const llama: Family = { name: 'llama', traits: llamaTraits, folder, gguf };

/** Mistral 7B: Llama with a window in every layer, where the configuration names one. */
export const mistral: Family = {
  name: 'mistral',
  traits: llamaTraits,
  folder: {
    ...folder,
    modelTypes: ['mistral'],
    defaults: {
      hidden_act: 'silu',
      rms_norm_eps: 1e-6,
      max_position_embeddings: 131_072,
      num_key_value_heads: 8,
      tie_word_embeddings: false,
    },
    sliding: { kind: 'all' },
    biases: () => noBiases,
  },
  gguf: null,
};
