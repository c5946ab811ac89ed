import type { Model, Tensor } from './types.js';

/** x · Wᵀ + b for W [out, in]. */
export function linear({ engine: { ops } }: Model, x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  const product = ops.matMul(x, weight, false, true);
  return bias ? ops.add(product, bias) : product;
}

/** x · W for W [out, in]: the gradient of what enters {@link linear} from that of what leaves it. */
export function linearBackward({ engine: { ops } }: Model, x: Tensor, weight: Tensor): Tensor {
  return ops.matMul(x, weight);
}
