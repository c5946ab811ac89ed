import type { DeltaFactors } from './deltas.js';
import { scoped } from './memory.js';
import type { LayerDelta, Model, Tensor } from './types.js';

/** W − W₀ of a layer, multiplied out: [hidden, intermediate]. */
export type Fold = Tensor;

function product({ engine: { tf }, config }: Model, { rank, left, right }: DeltaFactors): Tensor {
  return tf.matMul(
    tf.tensor2d(left, [rank, config.hiddenSize]),
    tf.tensor2d(right, [rank, config.intermediateSize]),
    true,
    false,
  );
}

/** The fold after another (none: the unedited layer) and the factors that follow it. The caller frees both. */
export function nextFold(model: Model, fold: Fold | undefined, factors: DeltaFactors): Fold {
  const { tf } = model.engine;
  return scoped(tf, (): Tensor => (fold ? tf.add(fold, product(model, factors)) : product(model, factors)));
}

/** The change of a fold and the factors after it. The caller frees it; the fold stays. */
export function foldedDelta(model: Model, layer: number, fold: Fold, factors: DeltaFactors): LayerDelta {
  const { tf } = model.engine;
  const weight = scoped(tf, (): Tensor => {
    const folded = tf.add(model.weights.layers[layer].down, fold);
    return factors.rank === 0 ? folded : tf.add(folded, product(model, factors));
  });
  return { kind: 'dense', weight };
}

/** A fold out of its numbers, row-major [hidden, intermediate]. */
export function foldFrom({ engine: { tf }, config }: Model, data: Float32Array): Fold {
  return tf.tensor2d(data, [config.hiddenSize, config.intermediateSize]);
}

/** The numbers of a fold, row-major. */
export async function readFold(fold: Fold): Promise<Float32Array> {
  return (await fold.data()) as Float32Array;
}
