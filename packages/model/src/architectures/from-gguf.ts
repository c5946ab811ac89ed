import { basename } from 'node:path';
import type { AttentionKind, ModelConfig } from '../config.js';
import type { GgufFiles } from '../model-files.js';
import { createRotary, type RotaryScaling, yarnMagnitude } from '../rotary.js';
import { checkConfig } from './check-config.js';
import type { Family, GgufFormat } from './family.js';
import { Settings, shownValue } from './settings.js';

/** Figures of each pair of dimensions by which llama.cpp divides the frequencies of Llama 3. */
const divisorsName = 'rope_freqs.weight';

/**
 * Configuration of a model from the metadata of a GGUF file, with llama.cpp's reading of what they leave out.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE, FILE_MALFORMED
 */
export function ggufConfig(family: Family, format: GgufFormat, files: GgufFiles): ModelConfig {
  const { traits } = family;
  const { tensors } = files.weights;
  const settings = new Settings(files.path, (key) => files.metadata.get(key));
  const at = (key: string): string => `${format.architecture}.${key}`;
  const layers = settings.count(at('block_count'));
  const hiddenSize = settings.count(at('embedding_length'));
  const heads = settings.count(at('attention.head_count'));
  const headSize = settings.count(at('attention.key_length'), hiddenSize / heads);
  if (settings.count(at('attention.value_length'), headSize) !== headSize)
    throw settings.unsupported(`${at('attention.value_length')} other than the length of keys is not supported`);
  const experts = settings.raw(at('expert_count'));
  if (experts !== undefined && experts !== 0)
    throw settings.unsupported(`a mixture of ${shownValue(experts)} experts is not supported`);
  const attention = attentionKinds(format, settings, layers);
  const name = settings.raw('general.name');
  const cap = (key: string, fallback: number | null): number | null =>
    settings.has(at(key)) ? settings.number(at(key)) : fallback;
  return checkConfig(settings, {
    architecture: family.name,
    name: typeof name === 'string' && name !== '' ? name : basename(files.path),
    layers,
    hiddenSize,
    intermediateSize: settings.count(at('feed_forward_length')),
    heads,
    keyValueHeads: settings.count(at('attention.head_count_kv'), heads),
    headSize,
    contextLength: settings.count(at('context_length')),
    vocabularySize: tensors.get('token_embd.weight')?.shape[0] ?? 0,
    norm: traits.norm,
    normEpsilon: settings.number(
      at(traits.norm === 'rms' ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon'),
    ),
    postNorms: traits.postNorms,
    queryKeyNorm: traits.queryKeyNorm,
    activation: format.activation,
    gated: traits.gated,
    parallel: format.parallel(settings),
    biases: format.biases((tensor) => tensors.has(tensor)),
    learnedPositions: traits.learnedPositions,
    rotary: rotaryOf(format, settings, files, headSize),
    attention,
    window: attention.includes('sliding') ? settings.count(at('attention.sliding_window')) : null,
    queryScale: (format.wideQueryScaleLayers === layers ? hiddenSize / heads : headSize) ** -0.5,
    scoreCap: cap('attn_logit_softcapping', format.caps?.scores ?? null),
    logitCap: cap('final_logit_softcapping', format.caps?.logits ?? null),
    embeddingScale: traits.scaledEmbedding ? Math.sqrt(hiddenSize) : 1,
    tied: !tensors.has('output.weight'),
  });
}

function attentionKinds(format: GgufFormat, settings: Settings, layers: number): AttentionKind[] {
  const windowed = settings.has(`${format.architecture}.attention.sliding_window`);
  const key = `${format.architecture}.attention.sliding_window_pattern`;
  const pattern = windowed && settings.has(key) ? settings.count(key) : format.slidingPattern;
  return Array.from({ length: layers }, (_, layer) =>
    windowed && (pattern === 0 || (layer + 1) % pattern !== 0) ? 'sliding' : 'full',
  );
}

function rotaryOf(format: GgufFormat, settings: Settings, files: GgufFiles, headSize: number): ModelConfig['rotary'] {
  if (!format.rotary) return { full: null, sliding: null };
  const at = (key: string): string => `${format.architecture}.${key}`;
  const dimensions = settings.count(at('rope.dimension_count'), headSize);
  if (dimensions % 2 !== 0 || dimensions > headSize)
    throw settings.malformed(`${dimensions} of the ${headSize} dimensions of a head are to be rotated`);
  const base = settings.number(at('rope.freq_base'), format.rotary.defaultBase);
  const full = createRotary(base, dimensions, scalingOf(format, settings, files, dimensions));
  if (format.rotary.localBase === undefined) return { full, sliding: full };
  const localBase = settings.number(at('rope.freq_base_swa'), format.rotary.localBase);
  return { full, sliding: createRotary(localBase, dimensions, { kind: 'none' }) };
}

function scalingOf(format: GgufFormat, settings: Settings, files: GgufFiles, dimensions: number): RotaryScaling {
  const at = (key: string): string => `${format.architecture}.${key}`;
  const type = settings.raw(at('rope.scaling.type')) ?? (settings.has(at('rope.scale_linear')) ? 'linear' : 'none');
  const divisors = files.weights.tensors.get(divisorsName);
  if (divisors) {
    if (type !== 'none') throw settings.unsupported(`${divisorsName} beside rotary scaling ${shownValue(type)}`);
    if (divisors.values !== dimensions / 2)
      throw settings.malformed(`${divisorsName} has ${divisors.values} values, where ${dimensions / 2} are due`);
    return { kind: 'divided', divisors: files.weights.read(divisorsName) };
  }
  const factor = (): number => settings.number(at('rope.scaling.factor'), settings.number(at('rope.scale_linear'), 1));
  switch (type) {
    case 'none':
      return { kind: 'none' };
    case 'linear':
      return { kind: 'linear', factor: factor() };
    case 'yarn':
      if (settings.number(at('rope.scaling.yarn_ext_factor'), 1) !== 1)
        throw settings.unsupported(`${at('rope.scaling.yarn_ext_factor')} other than 1 is not supported`);
      return {
        kind: 'yarn',
        factor: factor(),
        originalContext: settings.number(
          at('rope.scaling.original_context_length'),
          settings.number(at('context_length')),
        ),
        betaFast: settings.number(at('rope.scaling.yarn_beta_fast'), 32),
        betaSlow: settings.number(at('rope.scaling.yarn_beta_slow'), 1),
        truncate: true,
        magnitude: settings.number(at('rope.scaling.attn_factor'), 1) * yarnMagnitude(factor()),
      };
    default:
      throw settings.unsupported(
        `rotary scaling ${shownValue(type)} is not supported; known are none, linear and yarn`,
      );
  }
}
