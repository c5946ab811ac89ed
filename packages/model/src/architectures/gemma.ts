import type { Family, FolderFormat, GgufFormat, TensorNames, Traits } from './family.js';
import { commonKeys, ggufTensors, llamaTensors, llamaTraits, noBiases } from './llama.js';

const traits: Traits = { ...llamaTraits, postNorms: true, scaledEmbedding: true };

const gemma2Tensors: TensorNames = {
  ...llamaTensors,
  layer: {
    ...llamaTensors.layer,
    attentionPostNorm: 'layers.{}.post_attention_layernorm',
    feedForwardNorm: 'layers.{}.pre_feedforward_layernorm',
    feedForwardPostNorm: 'layers.{}.post_feedforward_layernorm',
  },
  normOffset: 1,
};

/** Below the names of the text model are those of the model that sees images, too. */
const gemma3Tensors: TensorNames = {
  ...gemma2Tensors,
  roots: ['model.', 'language_model.model.', 'model.language_model.'],
  unembedding: ['lm_head', 'language_model.lm_head'],
  layer: {
    ...gemma2Tensors.layer,
    queryNorm: 'layers.{}.self_attn.q_norm',
    keyNorm: 'layers.{}.self_attn.k_norm',
  },
  ignored: [...gemma2Tensors.ignored, /^(model\.)?(vision_tower|multi_modal_projector)\./],
};

/** llama.cpp's converter has added the one to the weights of norms. */
const gemma2Gguf: TensorNames = {
  ...ggufTensors,
  layer: {
    ...ggufTensors.layer,
    attentionPostNorm: 'blk.{}.post_attention_norm',
    feedForwardPostNorm: 'blk.{}.post_ffw_norm',
  },
};

const folder: FolderFormat = {
  modelTypes: ['gemma2'],
  keys: {
    ...commonKeys,
    activation: 'hidden_activation',
    queryScalar: 'query_pre_attn_scalar',
    scoreCap: 'attn_logit_softcapping',
    logitCap: 'final_logit_softcapping',
  },
  defaults: {
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    hidden_activation: 'gelu_pytorch_tanh',
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: true,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
  },
  only: { use_bidirectional_attention: [null, false] },
  rotary: { kind: 'whole', base: 'rope_theta', defaultBase: 10_000 },
  sliding: { kind: 'pattern', key: 'sliding_window_pattern', fallback: 2 },
  parallel: () => false,
  biases: (settings) => {
    const attention = settings.flag('attention_bias', false);
    return { ...noBiases, queryKeyValue: attention, output: attention };
  },
  tensors: gemma2Tensors,
};

const gguf: GgufFormat = {
  architecture: 'gemma2',
  activation: 'gelu-tanh',
  rotary: { defaultBase: 10_000 },
  slidingPattern: 2,
  wideQueryScaleLayers: 46,
  caps: { scores: 50, logits: 30 },
  parallel: () => false,
  biases: () => noBiases,
  tensors: gemma2Gguf,
};

/** Gemma 2: norms after both halves of a block, a window in every other layer, soft caps. */
export const gemma2: Family = { name: 'gemma2', traits, folder, gguf };

/** Gemma 3, the text model: norms of queries and keys instead of caps, a window in five of six layers. */
export const gemma3: Family = {
  name: 'gemma3',
  traits: { ...traits, queryKeyNorm: true },
  folder: {
    ...folder,
    modelTypes: ['gemma3_text', 'gemma3'],
    nestedIn: 'text_config',
    only: { ...folder.only, attn_logit_softcapping: [null] },
    defaults: {
      ...folder.defaults,
      max_position_embeddings: 131_072,
      attn_logit_softcapping: null,
      final_logit_softcapping: null,
    },
    rotary: {
      kind: 'whole',
      base: 'rope_theta',
      defaultBase: 1_000_000,
      localBase: { key: 'rope_local_base_freq', fallback: 10_000 },
    },
    sliding: { kind: 'pattern', key: 'sliding_window_pattern', fallback: 6 },
    tensors: gemma3Tensors,
  },
  gguf: {
    ...gguf,
    architecture: 'gemma3',
    rotary: { defaultBase: 1_000_000, localBase: 10_000 },
    slidingPattern: 6,
    wideQueryScaleLayers: 62,
    caps: { scores: null, logits: null },
    tensors: {
      ...gemma2Gguf,
      layer: { ...gemma2Gguf.layer, queryNorm: 'blk.{}.attn_q_norm', keyNorm: 'blk.{}.attn_k_norm' },
    },
  },
};
