import { ModelError } from './errors.js';
import type { GgufFile } from './gguf.js';

/** Shape of a decoder of the Llama family. Every figure the forward pass depends on is here, none in the code. */
export interface ModelConfig {
  readonly architecture: string;
  readonly name: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly ropeBase: number;
  readonly normEpsilon: number;
  readonly contextLength: number;
  readonly vocabularySize: number;
}

const supportedArchitectures = ['llama'];

/**
 * Reads the configuration from the metadata of a GGUF file.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE, FILE_MALFORMED
 */
export function configFromGguf(file: GgufFile): ModelConfig {
  const architecture = String(file.metadata.get('general.architecture'));
  if (!supportedArchitectures.includes(architecture))
    throw new ModelError(
      'UNSUPPORTED_ARCHITECTURE',
      `${file.path} holds a model of architecture "${architecture}"; supported: ${supportedArchitectures.join(', ')}`,
    );
  const number = (key: string, fallback?: number): number => {
    const value = file.metadata.get(`${architecture}.${key}`) ?? fallback;
    if ((typeof value !== 'number' && typeof value !== 'bigint') || !(Number(value) > 0))
      throw new ModelError('FILE_MALFORMED', `${file.path}: ${architecture}.${key} is ${String(value)}`);
    return Number(value);
  };
  const scaling = file.metadata.get(`${architecture}.rope.scaling.type`) ?? 'none';
  if (scaling !== 'none')
    throw new ModelError(
      'UNSUPPORTED_ARCHITECTURE',
      `${file.path}: rotary scaling "${String(scaling)}" is not supported`,
    );
  const hiddenSize = number('embedding_length');
  const heads = number('attention.head_count');
  const headSize = number('rope.dimension_count', hiddenSize / heads);
  const config: ModelConfig = {
    architecture,
    name: String(file.metadata.get('general.name') ?? architecture),
    layers: number('block_count'),
    hiddenSize,
    intermediateSize: number('feed_forward_length'),
    heads,
    keyValueHeads: number('attention.head_count_kv', heads),
    headSize,
    ropeBase: number('rope.freq_base', 10_000),
    normEpsilon: number('attention.layer_norm_rms_epsilon'),
    contextLength: number('context_length'),
    vocabularySize: file.tensors.get('token_embd.weight')?.shape[0] ?? 0,
  };
  if (config.heads % config.keyValueHeads !== 0 || headSize % 2 !== 0 || config.vocabularySize === 0)
    throw new ModelError(
      'FILE_MALFORMED',
      `${file.path}: ${heads} heads over ${config.keyValueHeads} key/value heads of size ${headSize}`,
    );
  return config;
}
