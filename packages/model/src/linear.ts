import type { Model, Tensor } from './types.js';

/** x · Wᵀ + b for W [out, in]. */
export function linear(model: Model, x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  const { tf } = model.engine;
  const product: Tensor = tf.matMul(x, weight, false, true);
  return bias ? tf.add(product, bias) : product;
}
