import { activate, attend, linear, project, rmsNorm } from './block.js';
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
  /** Return the keys and values of each layer. */
  readonly keepKeyValues?: boolean;
  /** Sees the input of the down projection of each layer, [tokens, intermediate]; the tensor is freed afterwards. */
  readonly capture?: (layer: number, activations: Tensor) => void;
  readonly pause?: Pause;
}

/**
 * Runs layers `from` to `to` − 1 on packed tokens. `hidden` stays the caller's; so does what is returned.
 * @param hidden [tokens, hidden size]
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
  let current: Tensor = tf.clone(hidden);
  try {
    for (let layer = from; layer < to; layer++) {
      const weights = model.weights.layers[layer];
      const step = scoped(tf, (): { next: Tensor; cache?: KeyValues } => {
        const { mid, keyValues: cache } = attend(model, weights, current, layout, options.past?.[layer - from]);
        const { activations } = activate(model, weights, mid);
        options.capture?.(layer, activations);
        const next = project(model, weights, mid, activations, options.deltas?.get(layer));
        return options.keepKeyValues ? { next, cache } : { next };
      });
      if (step.cache) keyValues.push(step.cache);
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

/** Embeddings of packed tokens: [tokens, hidden size]. */
export function embed(model: Model, ids: readonly number[]): Tensor {
  const { tf } = model.engine;
  return tf.tidy(() => tf.gather(model.weights.embedding, tf.tensor1d(Int32Array.from(ids), 'int32')));
}

/** Rows of a matrix by index. */
export function pickRows(model: Model, matrix: Tensor, rows: readonly number[]): Tensor {
  const { tf } = model.engine;
  return tf.tidy(() => tf.gather(matrix, tf.tensor1d(Int32Array.from(rows), 'int32')));
}

/** Logits of hidden states after the last layer: [n, vocabulary]. */
export function logits(model: Model, hidden: Tensor): Tensor {
  const { tf } = model.engine;
  return tf.tidy(() =>
    linear(model, tf.mul(rmsNorm(model, hidden).normed, model.weights.finalNorm), model.weights.unembedding),
  );
}
