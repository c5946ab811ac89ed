import { activate, attend, project } from './block.js';
import { ModelError } from './errors.js';
import { finalNorm, unembed } from './head.js';
import type { Layout } from './layout.js';
import { free, scoped } from './memory.js';
import type { Deltas, KeyValues, Model, Pause, Tensor } from './types.js';

/** Options of {@link forward}. */
export interface ForwardOptions {
  /** First layer, 0 when left out. */
  readonly from?: number;
  /** Layer after the last, all when left out. */
  readonly to?: number;
  readonly deltas?: Deltas;
  /** Keys and values of earlier columns, one for each layer from `from`. */
  readonly past?: readonly KeyValues[];
  /** Free the earlier columns of each layer once it has run: the new ones begin with a copy of them. */
  readonly releasePast?: boolean;
  /** Return the keys and values of each layer. */
  readonly keepKeyValues?: boolean;
  /** Sees the input of the down projection of each layer, [tokens, intermediate]; the tensor is freed afterwards. */
  readonly capture?: (layer: number, activations: Tensor) => void;
  readonly pause?: Pause;
}

/**
 * Runs layers `from` to `to` − 1 on packed tokens. `hidden` stays the caller's; so does what is returned.
 * @param hidden [tokens, hidden size]; what enters layer 0 are embeddings, to which learned positions are added here
 */
export async function forward(
  model: Model,
  hidden: Tensor,
  layout: Layout,
  options: ForwardOptions = {},
): Promise<{ hidden: Tensor; keyValues: KeyValues[] }> {
  const { tf } = model.engine;
  const from = options.from ?? 0;
  const to = options.to ?? model.config.layers;
  const keyValues: KeyValues[] = [];
  let current = from === 0 ? positioned(model, hidden, layout) : tf.clone(hidden);
  try {
    for (let layer = from; layer < to; layer++) {
      const weights = model.weights.layers[layer];
      const step = scoped(tf, (): { next: Tensor; cache?: KeyValues } => {
        const { mid, source, keyValues: cache } = attend(model, weights, current, layout, options.past?.[layer - from]);
        const { activations } = activate(model, weights, source);
        options.capture?.(layer, activations);
        const next = project(model, weights, mid, activations, options.deltas?.get(layer));
        return options.keepKeyValues ? { next, cache: cache() } : { next };
      });
      if (step.cache) keyValues.push(step.cache);
      if (options.releasePast) free(tf, options.past?.[layer - from]);
      current.dispose();
      current = step.next;
      await options.pause?.();
    }
    return { hidden: current, keyValues };
  } catch (error) {
    current.dispose();
    free(tf, keyValues);
    throw error;
  }
}

/** Embeddings with learned positions added, where the model has those; a tensor of its own in any case. */
export function positioned(model: Model, hidden: Tensor, layout: Layout): Tensor {
  const { tf } = model.engine;
  const { positions } = model.weights;
  if (!positions) return tf.clone(hidden);
  return tf.tidy(() => tf.add(hidden, tf.gather(positions, layout.positionIndex() as never)));
}

/**
 * Embeddings of packed tokens: [tokens, hidden size].
 * @throws ModelError FILE_MALFORMED for an id that the tokenizer has and the model has not
 */
export function embed(model: Model, ids: readonly number[]): Tensor {
  const { tf } = model.engine;
  const { vocabularySize, embeddingScale } = model.config;
  const unknown = ids.find((id) => !(id >= 0 && id < vocabularySize));
  if (unknown !== undefined)
    throw new ModelError(
      'FILE_MALFORMED',
      `token ${unknown} has no embedding: the model has ${vocabularySize}; its tokenizer is another model's`,
    );
  return tf.tidy(() => {
    const rows = tf.gather(model.weights.embedding, tf.tensor1d(Int32Array.from(ids), 'int32'));
    return embeddingScale === 1 ? rows : tf.mul(rows, embeddingScale);
  });
}

/** Rows of a matrix by index. */
export function pickRows(model: Model, matrix: Tensor, rows: readonly number[]): Tensor {
  const { tf } = model.engine;
  return tf.tidy(() => tf.gather(matrix, tf.tensor1d(Int32Array.from(rows), 'int32')));
}

/** Logits of hidden states after the last layer: [n, vocabulary]. */
export function logits(model: Model, hidden: Tensor): Tensor {
  return model.engine.tf.tidy(() => unembed(model, finalNorm(model, hidden).scaled));
}
