import type { Engine } from '@errata/tensor';
import { architectureOf } from './architectures/families.js';
import { chatTokensOf } from './chat-tokens.js';
import { collectGarbage } from './memory.js';
import { type ModelFiles, openModelFiles } from './model-files.js';
import { modelHash } from './model-hash.js';
import { sinkOf, type Tokenizer, tokenizerFor } from './tokenizer.js';
import type { Model, Pause } from './types.js';
import { loadWeights } from './weights.js';

/**
 * Loads a GGUF file or a Hugging Face folder into an engine.
 * @throws ModelError for a missing, truncated or unsupported file
 */
export async function loadModel(options: { engine: Engine; path: string; pause?: Pause }): Promise<Model> {
  const files = await openModelFiles(options.path);
  const tokenizer = tokenizerFor(files);
  const id = await modelHash(options.path);
  return modelOf(files, { ...options, tokenizer, id });
}

/**
 * Loads opened files into an engine.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE, FILE_MALFORMED, FILE_TRUNCATED
 */
export async function modelOf(
  files: ModelFiles,
  options: { engine: Engine; tokenizer: Tokenizer; id: string; pause?: Pause },
): Promise<Model> {
  const { engine, tokenizer, id, pause } = options;
  const architecture = architectureOf(files);
  const sinkId = sinkOf(tokenizer, files.path);
  const weights = await loadWeights(engine, files.weights, architecture, pause);
  collectGarbage();
  return {
    id,
    engine,
    config: architecture.config,
    tokenizer,
    weights,
    sinkId,
    chatTemplate: chatTemplateOf(files),
    chatTokens: chatTokensOf(files),
  };
}

/** Frees the weights. */
export function disposeModel(model: Model): void {
  const { layers, ...rest } = model.weights;
  model.engine.tf.dispose([
    ...new Set(Object.values(rest)),
    ...layers.flatMap((layer) => Object.values(layer)),
  ] as never);
}

function chatTemplateOf(files: ModelFiles): string | null {
  if (files.kind === 'folder') return files.chatTemplate;
  const template = files.metadata.get('tokenizer.chat_template');
  return typeof template === 'string' ? template : null;
}
