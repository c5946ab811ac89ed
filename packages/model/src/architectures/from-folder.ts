import { basename } from 'node:path';
import type { Activation } from '../activation.js';
import type { AttentionKind, ModelConfig } from '../config.js';
import type { FolderFiles } from '../model-files.js';
import { checkConfig } from './check-config.js';
import type { Family, FolderFormat } from './family.js';
import { folderRotary } from './folder-rotary.js';
import { Settings, shownValue } from './settings.js';

/** transformers' names of activations (activations.py). */
const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_accurate: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
};

/**
 * Configuration of a model from config.json.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE, FILE_MALFORMED
 */
export function folderConfig(family: Family, files: FolderFiles): ModelConfig {
  const { folder: format, traits } = family;
  const settings = settingsOf(format, files);
  refuse(format, settings);
  const { keys } = format;
  const layers = settings.count(keys.layers);
  const hiddenSize = settings.count(keys.hiddenSize);
  const heads = settings.count(keys.heads);
  const headSize = settings.count(keys.headSize ?? '', hiddenSize / heads);
  const attention = attentionKinds(format, settings, layers);
  return checkConfig(settings, {
    architecture: family.name,
    name: nameOf(settings, files.path),
    layers,
    hiddenSize,
    intermediateSize: settings.count(keys.intermediateSize, 4 * hiddenSize),
    heads,
    keyValueHeads: keys.keyValueHeads ? settings.count(keys.keyValueHeads, heads) : heads,
    headSize,
    contextLength: settings.count(keys.contextLength),
    vocabularySize: vocabularySize(format, files, settings),
    norm: traits.norm,
    normEpsilon: settings.number(keys.normEpsilon),
    postNorms: traits.postNorms,
    queryKeyNorm: traits.queryKeyNorm,
    activation: activationOf(settings, keys.activation),
    gated: traits.gated,
    parallel: format.parallel(settings),
    biases: format.biases(settings),
    learnedPositions: traits.learnedPositions,
    rotary: folderRotary(format.rotary, settings, headSize),
    attention,
    window: attention.includes('sliding') ? settings.count('sliding_window') : null,
    queryScale: settings.number(keys.queryScalar ?? '', headSize) ** -0.5,
    scoreCap: cap(settings, keys.scoreCap),
    logitCap: cap(settings, keys.logitCap),
    embeddingScale: traits.scaledEmbedding ? Math.sqrt(hiddenSize) : 1,
    tied: settings.flag('tie_word_embeddings', false),
  });
}

/** The settings of the text model over what transformers takes where they are silent. */
function settingsOf({ nestedIn, defaults }: FolderFormat, files: FolderFiles): Settings {
  const whole = Settings.of(files.path, files.config);
  const nested = nestedIn === undefined ? undefined : whole.nested(nestedIn);
  if (!nested) return Settings.of(files.path, { ...defaults, ...files.config });
  const own = files.config[nestedIn as string] as Record<string, unknown>;
  return Settings.of(files.path, { ...defaults, ...own });
}

function refuse({ only = {} }: FolderFormat, settings: Settings): void {
  const quantization = settings.nested('quantization_config');
  if (quantization)
    throw settings.unsupported(
      `the weights are quantized (${quantization.text('quant_method', 'quantization_config')}); take the folder without quantization, or a GGUF file`,
    );
  for (const [key, allowed] of Object.entries(only)) {
    const value = settings.raw(key) ?? null;
    if (!allowed.includes(value)) throw settings.unsupported(`${key} ${shownValue(value)} is not supported`);
  }
}

function attentionKinds({ sliding }: FolderFormat, settings: Settings, layers: number): AttentionKind[] {
  const listed = settings.raw('layer_types');
  if (listed !== undefined && sliding.kind !== 'none') {
    if (!Array.isArray(listed) || listed.length !== layers)
      throw settings.malformed(`layer_types is ${shownValue(listed)}, where one of each of ${layers} layers is due`);
    return listed.map((type) => {
      if (type === 'full_attention') return 'full';
      if (type === 'sliding_attention') return 'sliding';
      throw settings.unsupported(`a layer of type ${shownValue(type)} is not supported`);
    });
  }
  const kinds = (slides: (layer: number) => boolean): AttentionKind[] =>
    Array.from({ length: layers }, (_, layer) => (slides(layer) ? 'sliding' : 'full'));
  switch (sliding.kind) {
    case 'none':
      return kinds(() => false);
    case 'all': {
      const windowed = settings.has('sliding_window');
      return kinds(() => windowed);
    }
    case 'from': {
      if (!settings.flag('use_sliding_window', false) || !settings.has('sliding_window')) return kinds(() => false);
      const first = settings.raw('max_window_layers');
      if (typeof first !== 'number') throw settings.malformed(`max_window_layers is ${shownValue(first)}`);
      return kinds((layer) => layer >= first);
    }
    case 'pattern': {
      const every = settings.count(sliding.key, sliding.fallback);
      return kinds((layer) => (layer + 1) % every !== 0);
    }
  }
}

function activationOf(settings: Settings, key: string): Activation {
  const name = settings.text(key);
  if (!Object.hasOwn(activations, name))
    throw settings.unsupported(
      `${key} ${shownValue(name)} is not supported; known are ${Object.keys(activations).join(', ')}`,
    );
  return activations[name];
}

function cap(settings: Settings, key: string | undefined): number | null {
  return key !== undefined && settings.has(key) ? settings.number(key) : null;
}

/**
 * The name the configuration gives, unless that is a path on the machine that trained the model; else the folder's. The
 * hub's cache keeps `org/name` as `models--org--name/snapshots/REVISION`.
 */
function nameOf(settings: Settings, path: string): string {
  const given = settings.raw('_name_or_path');
  if (typeof given === 'string' && /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/.test(given)) return given;
  const cached = /models--([^/\\]+)--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$/.exec(path);
  return cached ? `${cached[1]}/${cached[2]}` : basename(path);
}

/** Rows of the embedding: configurations are known to say otherwise. */
function vocabularySize({ tensors }: FolderFormat, { weights }: FolderFiles, settings: Settings): number {
  for (const root of tensors.roots) {
    const tensor = weights.tensors.get(`${root}${tensors.embedding}.weight`);
    if (tensor) return tensor.shape[0];
  }
  throw settings.malformed(`there is no tensor ${tensors.roots[0]}${tensors.embedding}.weight`);
}
