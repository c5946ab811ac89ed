import type { Engine } from '@errata/tensor';
import { configFromGguf } from './config.js';
import { openGguf } from './gguf.js';
import { modelHash } from './model-hash.js';
import { sinkOf, tokenizerFromGguf } from './tokenizer.js';
import type { Model, Pause } from './types.js';
import { loadWeights } from './weights.js';

/**
 * Loads a GGUF file into an engine.
 * @throws ModelError for a missing, truncated or unsupported file
 */
export async function loadModel(options: { engine: Engine; path: string; pause?: Pause }): Promise<Model> {
  const { engine, path } = options;
  const file = await openGguf(path);
  const config = configFromGguf(file);
  const tokenizer = tokenizerFromGguf(file);
  const sinkId = sinkOf(tokenizer, path);
  const [id, weights] = await Promise.all([modelHash(path), loadWeights(engine, file, config, options.pause)]);
  const template = file.metadata.get('tokenizer.chat_template');
  const chatTemplate = typeof template === 'string' ? template : null;
  return { id, engine, config, tokenizer, weights, sinkId, chatTemplate };
}

/** Frees the weights. */
export function disposeModel(model: Model): void {
  const { embedding, unembedding, finalNorm, epsilon, layers } = model.weights;
  const { tf } = model.engine;
  tf.dispose([finalNorm, epsilon, embedding, ...(unembedding === embedding ? [] : [unembedding])]);
  for (const layer of layers) tf.dispose(Object.values(layer));
}
