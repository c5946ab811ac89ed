import { createEngine, type Engine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ArchitectureName, folderOf, ggufOf, load } from './architecture-testing.js';
import { architectureOf } from './architectures/families.js';
import { createLayout } from './layout.js';
import type { FolderFiles, GgufFiles } from './model-files.js';
import type { WeightSource, WeightTensor } from './weight-source.js';
import { refusal } from './weight-testing.js';

async function withConfig(name: ArchitectureName, changes: Record<string, unknown>): Promise<FolderFiles> {
  const files = await folderOf(name);
  return { ...files, config: { ...files.config, ...changes } };
}

async function withMetadata(name: ArchitectureName, changes: Record<string, unknown>): Promise<GgufFiles> {
  const files = await ggufOf(name);
  if (files.kind !== 'gguf') throw new Error('no GGUF file');
  return { ...files, metadata: new Map([...files.metadata, ...Object.entries(changes)]) };
}

function withTensors(source: WeightSource, changes: Record<string, WeightTensor | null>): WeightSource {
  const tensors = new Map(source.tensors);
  for (const [name, tensor] of Object.entries(changes))
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
  return { ...source, tensors };
}

const vector = (size: number): WeightTensor => ({ shape: [size], values: size });
const unsupported = 'UNSUPPORTED_ARCHITECTURE';
const malformed = 'FILE_MALFORMED';

describe('a configuration', () => {
  it.each<[string, ArchitectureName, Record<string, unknown>, string, string]>([
    ['of an unknown family', 'llama3', { model_type: 'mamba' }, unsupported, '"mamba"'],
    ['without a family', 'llama3', { model_type: undefined }, unsupported, 'model_type missing'],
    ['of a prototype', 'llama3', { hidden_act: 'constructor' }, unsupported, '"constructor"'],
    ['with an unknown activation', 'llama3', { hidden_act: 'relu2' }, unsupported, '"relu2"'],
    ['with dynamic scaling', 'llama3', { rope_scaling: { type: 'dynamic', factor: 2 } }, unsupported, '"dynamic"'],
    ['with longrope', 'qwen2', { rope_parameters: { rope_type: 'longrope' } }, unsupported, '"longrope"'],
    ['with partial rotary', 'llama3', { partial_rotary_factor: 0.5 }, unsupported, 'partial_rotary_factor'],
    ['of quantized weights', 'llama3', { quantization_config: { quant_method: 'gptq' } }, unsupported, 'gptq'],
    ['with chunked layers', 'qwen3', { layer_types: Array(4).fill('chunked_attention') }, unsupported, 'chunked'],
    ['with too few layer types', 'qwen3', { layer_types: ['full_attention'] }, malformed, 'layer_types'],
    ['with attention both ways', 'gemma3', { use_bidirectional_attention: true }, unsupported, 'bidirectional'],
    ['with a cap that is not used', 'gemma3', { attn_logit_softcapping: 50 }, unsupported, 'attn_logit_softcapping'],
    ['with scores scaled by layer', 'gpt2', { scale_attn_by_inverse_layer_idx: true }, unsupported, 'inverse_layer'],
    ['with cross attention', 'gpt2', { add_cross_attention: true }, unsupported, 'add_cross_attention'],
    ['without its layers', 'llama3', { num_hidden_layers: undefined }, malformed, 'num_hidden_layers is missing'],
    ['with half a layer', 'llama3', { num_hidden_layers: 1.5 }, malformed, '1.5'],
    ['with a text for a number', 'llama3', { hidden_size: '32' }, malformed, 'hidden_size is'],
    ['with heads that do not divide', 'llama3', { num_key_value_heads: 3 }, malformed, '3 heads'],
    ['with more rotated than there is', 'gptj', { rotary_dim: 10 }, malformed, '10 of the 8'],
  ])('%s is refused by name', async (_, name, changes, code, part) => {
    const found = await refusal(async () => architectureOf(await withConfig(name, changes)));
    expect(found.code).toBe(code);
    expect(found.message).toContain(part);
  });

  it.each<[string, ArchitectureName, Record<string, unknown>, string, string]>([
    ['of an unknown family', 'llama3', { 'general.architecture': 'gptj' }, unsupported, '"gptj"'],
    ['without a family', 'llama3', { 'general.architecture': undefined }, unsupported, 'architecture missing'],
    ['of experts', 'llama3', { 'llama.expert_count': 8 }, unsupported, '8 experts'],
    ['with longrope', 'qwen3', { 'qwen3.rope.scaling.type': 'longrope' }, unsupported, '"longrope"'],
    ['with two scalings', 'llama3', { 'llama.rope.scaling.type': 'linear' }, unsupported, 'rope_freqs'],
    ['with values of another length', 'qwen3', { 'qwen3.attention.value_length': 8 }, unsupported, 'value_length'],
    ['without its layers', 'llama3', { 'llama.block_count': undefined }, malformed, 'block_count is missing'],
  ])('in GGUF metadata %s is refused by name', async (_, name, changes, code, part) => {
    const found = await refusal(async () => architectureOf(await withMetadata(name, changes)));
    expect(found.code).toBe(code);
    expect(found.message).toContain(part);
  });

  it('of a model that sees images is read as that of its text model', async () => {
    const files = await folderOf('gemma3');
    const nested = architectureOf({ ...files, config: { model_type: 'gemma3', text_config: files.config } });
    expect(nested.config).toEqual(architectureOf(files).config);
  });
});

describe('weights', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine();
  });

  const layer = 'model.layers.3.';
  it.each<[string, ArchitectureName, Record<string, WeightTensor | null>, string, string]>([
    ['that lack a matrix', 'llama3', { [`${layer}mlp.down_proj.weight`]: null }, malformed, 'down_proj'],
    ['that lack a bias', 'qwen2', { [`${layer}self_attn.k_proj.bias`]: null }, malformed, 'k_proj.bias'],
    ['that lack the unembedding', 'mistral', { 'lm_head.weight': null }, malformed, 'lm_head'],
    ['of another shape', 'llama3', { [`${layer}mlp.up_proj.weight`]: vector(32) }, malformed, '[32]'],
    ['with a norm too many', 'llama3', { [`${layer}self_attn.q_norm.weight`]: vector(8) }, unsupported, 'q_norm'],
    ['with a bias too many', 'qwen2', { [`${layer}self_attn.o_proj.bias`]: vector(32) }, unsupported, 'o_proj'],
    ['with a layer too many', 'llama3', { 'model.layers.4.input_layernorm.weight': vector(32) }, unsupported, '.4.'],
  ])('%s are refused by name, and nothing stays on the engine', async (_, name, changes, code, part) => {
    const before = engine.tf.memory().numTensors;
    const files = await folderOf(name);
    const found = await refusal(() => load(engine, { ...files, weights: withTensors(files.weights, changes) }));
    expect(found.code).toBe(code);
    expect(found.message).toContain(part);
    expect(engine.tf.memory().numTensors).toBe(before);
  });

  it('of a model that sees images are read without those for images', async () => {
    const files = await folderOf('gemma3');
    const { weights } = files;
    const old = (name: string): string => `language_model.${name}`;
    const vision = 'vision_tower.vision_model.embeddings.position_embedding.weight';
    const model = await load(engine, {
      ...files,
      weights: {
        path: weights.path,
        tensors: new Map([
          ...[...weights.tensors].map(([name, tensor]) => [old(name), tensor] as const),
          [vision, vector(4)],
        ]),
        read: (name, out) => weights.read(name.replace('language_model.', ''), out),
      },
    });
    expect(model.weights.layers.length).toBe(6);
  });
});

it('tokens beyond the learned positions are refused by number', async () => {
  const { tf } = await createEngine();
  const { config } = architectureOf(await folderOf('gpt2'));
  const found = await refusal(async () => createLayout(tf, config, [{ first: 60, count: 5 }]));
  expect(found.code).toBe('PROMPT_TOO_LONG');
  expect(found.message).toContain('65 tokens do not fit the 64 positions');
});
