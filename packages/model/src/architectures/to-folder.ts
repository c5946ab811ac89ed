import type { ModelConfig } from '../config.js';
import { ModelError } from '../errors.js';
import type { FolderFiles, GgufFiles } from '../model-files.js';
import { createRotary, type Rotary } from '../rotary.js';
import type { Architecture } from './families.js';
import type { Family } from './family.js';
import { folderConfig } from './from-folder.js';

/** Class that transformers builds for a family. */
const classes: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  gemma2: 'Gemma2ForCausalLM',
  gemma3: 'Gemma3ForCausalLM',
  gpt2: 'GPT2LMHeadModel',
  gptneox: 'GPTNeoXForCausalLM',
};

/** Llama 3's bounds of the stretch; a GGUF file keeps only the divisors that follow from them. */
const llama3Bounds = { low: 1, high: 4 };
/** Of llama.cpp's divisors, which are fp32. */
const divisorTolerance = 1e-5;

/**
 * config.json for a model that was read from a GGUF file. What is written is read back: it says the same or is refused.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE
 */
export function folderConfigOf({ family, config }: Architecture, files: GgufFiles): Record<string, unknown> {
  const className = classes[family.name];
  if (className === undefined) throw unsupported(files, `a folder of ${family.name}`);
  const { keys, modelTypes } = family.folder;
  const written: Record<string, unknown> = {
    architectures: [className],
    model_type: modelTypes[0],
    vocab_size: config.vocabularySize,
    [keys.layers]: config.layers,
    [keys.hiddenSize]: config.hiddenSize,
    [keys.intermediateSize]: config.intermediateSize,
    [keys.heads]: config.heads,
    ...(keys.keyValueHeads && { [keys.keyValueHeads]: config.keyValueHeads }),
    ...(keys.headSize && { [keys.headSize]: config.headSize }),
    [keys.contextLength]: config.contextLength,
    [keys.normEpsilon]: shortest(config.normEpsilon),
    [keys.activation]: activationName(config, family),
    ...(keys.queryScalar && { [keys.queryScalar]: Math.round(config.queryScale ** -2) }),
    ...(keys.scoreCap && { [keys.scoreCap]: config.scoreCap }),
    ...(keys.logitCap && { [keys.logitCap]: config.logitCap }),
    tie_word_embeddings: config.tied,
    use_cache: true,
    ...biases(config, family),
    ...slidingWindow(config, family),
    ...rotary(config, family, files),
    ...tokenIds(files),
  };
  checkReadsBack(written, family, config, files);
  return written;
}

function activationName({ activation }: ModelConfig, { name }: Family): string {
  if (activation !== 'gelu-tanh') return activation;
  return name.startsWith('gemma') ? 'gelu_pytorch_tanh' : 'gelu_new';
}

function biases({ biases: has, parallel }: ModelConfig, { name }: Family): Record<string, unknown> {
  switch (name) {
    case 'llama':
      return { attention_bias: has.queryKeyValue, mlp_bias: has.feedForward };
    case 'gptneox':
      return { attention_bias: has.queryKeyValue, use_parallel_residual: parallel };
    default:
      return {};
  }
}

function slidingWindow({ attention, window }: ModelConfig, { folder }: Family): Record<string, unknown> {
  if (folder.sliding.kind === 'none') return {};
  return {
    ...(folder.sliding.kind === 'from' && { use_sliding_window: window !== null }),
    sliding_window: window,
    layer_types: attention.map((kind) => `${kind}_attention`),
  };
}

function rotary(config: ModelConfig, { folder }: Family, files: GgufFiles): Record<string, unknown> {
  const { full, sliding } = config.rotary;
  if (folder.rotary.kind === 'none' || !full) return {};
  const scaling = scalingOf(full, files);
  const base = { rope_scaling: scaling };
  switch (folder.rotary.kind) {
    case 'whole':
      return {
        ...base,
        [folder.rotary.base]: full.base,
        ...(folder.rotary.localBase && sliding && { [folder.rotary.localBase.key]: sliding.base }),
      };
    case 'share':
      return {
        ...base,
        [folder.rotary.base]: full.base,
        rope_theta: full.base,
        [folder.rotary.share]: full.dimensions / config.headSize,
      };
    case 'dimensions':
      return { [folder.rotary.dimensions]: full.dimensions };
  }
}

/** `rope_scaling` that gives the frequencies that were read. */
function scalingOf({ base, dimensions, frequencies, magnitude }: Rotary, files: GgufFiles): object | null {
  const plain = createRotary(base, dimensions, { kind: 'none' }).frequencies;
  const divisors = frequencies.map((frequency, i) => plain[i] / frequency);
  const largest = Math.max(...divisors);
  if (magnitude === 1 && largest - 1 < divisorTolerance) return null;
  const key = (name: string) =>
    files.metadata.get(`${files.metadata.get('general.architecture')}.rope.scaling.${name}`);
  if (key('type') === 'yarn') {
    const number = (name: string) => (key(name) === undefined ? undefined : Number(key(name)));
    return {
      rope_type: 'yarn',
      factor: number('factor'),
      original_max_position_embeddings: number('original_context_length'),
      beta_fast: number('yarn_beta_fast'),
      beta_slow: number('yarn_beta_slow'),
      attention_factor: magnitude,
    };
  }
  if (largest - Math.min(...divisors) < divisorTolerance) return { rope_type: 'linear', factor: shortest(largest) };
  return llama3Scaling(plain, divisors, files);
}

/**
 * Llama 3's stretch from its divisors: the largest is the factor, any between that and 1 gives the original context, as
 * 1/divisor = (1 − k)/factor + k with k = (context · frequency/2π − low)/(high − low).
 */
function llama3Scaling(plain: readonly number[], divisors: readonly number[], files: GgufFiles): object {
  const { low, high } = llama3Bounds;
  const factor = shortest(Math.max(...divisors));
  const at = divisors.findIndex((divisor) => divisor > 1 + divisorTolerance && divisor < factor - divisorTolerance);
  const kept = at < 0 ? 0 : (1 / divisors[at] - 1 / factor) / (1 - 1 / factor);
  const original = Math.round(((kept * (high - low) + low) * 2 * Math.PI) / plain[Math.max(at, 0)]);
  if (at < 0) throw unsupported(files, 'its stretch of the rotary embedding');
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  };
}

function tokenIds({ metadata }: GgufFiles): Record<string, unknown> {
  const id = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof value === 'number' ? value : null;
  };
  return {
    bos_token_id: id('bos'),
    eos_token_id: id('eos'),
    ...(id('padding') !== null && { pad_token_id: id('padding') }),
  };
}

function checkReadsBack(written: Record<string, unknown>, family: Family, config: ModelConfig, files: GgufFiles): void {
  const { roots, embedding } = family.folder.tensors;
  const shape = [config.vocabularySize, config.hiddenSize];
  const folder: FolderFiles = {
    kind: 'folder',
    path: files.path,
    config: written,
    generationConfig: null,
    tokenizer: null,
    tokenizerConfig: null,
    chatTemplate: null,
    weights: {
      ...files.weights,
      tensors: new Map([[`${roots[0]}${embedding}.weight`, { shape, values: shape[0] * shape[1] }]]),
    },
  };
  const found = folderConfig(family, folder);
  const [wanted, read] = [describe(config), describe(found)];
  for (const key of Object.keys(wanted))
    if (wanted[key] !== read[key]) throw unsupported(files, `${key} (${wanted[key]}, a folder would say ${read[key]})`);
}

/** Everything the forward pass depends on, as texts to compare; numbers to the precision that GGUF keeps. */
function describe({ name: _name, rotary: rotations, attention, ...rest }: ModelConfig): Record<string, string> {
  const rounded = (_key: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value);
  const used = [...new Set(attention)].map((kind) => rotations[kind]);
  return Object.fromEntries(
    Object.entries({ ...rest, attention, rotary: used }).map(([key, value]) => [key, JSON.stringify(value, rounded)]),
  );
}

/** The shortest decimal with the same fp32 value: GGUF keeps 1e-5 as its nearest fp32. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === Math.fround(value)) return rounded;
  }
  return value;
}

function unsupported({ path }: GgufFiles, what: string): ModelError {
  return new ModelError(
    'UNSUPPORTED_ARCHITECTURE',
    `${path}: config.json cannot say ${what}; load the original Hugging Face folder instead of the GGUF file`,
  );
}
