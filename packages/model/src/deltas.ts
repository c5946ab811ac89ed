import { scoped } from './memory.js';
import type { LayerDelta, Model, Tensor } from './types.js';

/**
 * From this rank on W is built once instead of applying its factors every time: building costs as much as applying
 * them to `rank` tokens, and a request runs hundreds.
 */
export const denseFromRank = 128;

/** Factors of a change of a down projection, W = W₀ + B Gᵀ, rank by rank. */
export interface DeltaFactors {
  readonly rank: number;
  /** Bᵀ, row-major [rank, hidden] (B column by column) */
  readonly left: Float32Array;
  /** Gᵀ, row-major [rank, intermediate] (G column by column) */
  readonly right: Float32Array;
}

/** Puts a change on the engine; factors of rank 0 are no change (undefined). The caller frees it. */
export function createDelta(
  model: Model,
  layer: number,
  factors: DeltaFactors,
  form: 'auto' | 'factors' | 'dense' = 'auto',
): LayerDelta | undefined {
  const { tf } = model.engine;
  const { hiddenSize, intermediateSize } = model.config;
  const { rank } = factors;
  if (rank === 0) return undefined;
  const left: Tensor = tf.tensor2d(factors.left, [rank, hiddenSize]);
  const right: Tensor = tf.tensor2d(factors.right, [rank, intermediateSize]);
  if (form === 'factors' || (form === 'auto' && rank < denseFromRank)) return { kind: 'factors', left, right };
  const weight = scoped(
    tf,
    (): Tensor => tf.add(model.weights.layers[layer].down, tf.matMul(left, right, true, false)),
  );
  tf.dispose([left, right]);
  return { kind: 'dense', weight };
}

/** Frees a change. */
export function disposeDelta(delta: LayerDelta): void {
  if (delta.kind === 'dense') delta.weight.dispose();
  else {
    delta.left.dispose();
    delta.right.dispose();
  }
}
