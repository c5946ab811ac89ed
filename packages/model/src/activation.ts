import type { Model, Tensor, Tf } from './types.js';

/** Non-linearity of the feed-forward: x σ(x), or x Φ(x) exactly or by its approximation with tanh. */
export type Activation = 'silu' | 'gelu-tanh' | 'gelu';

/** What went into {@link activated}. */
export interface ActivatedTrace {
  readonly gate: Tensor | null;
  readonly up: Tensor;
}

/** activation(gate) · up, or activation(up) where there is no gate. */
export function activated(model: Model, gate: Tensor | null, up: Tensor): Tensor {
  const { tf, ops } = model.engine;
  const kind = model.config.activation;
  if (gate && kind === 'silu') return ops.swiGlu(gate, up);
  const { value } = activation(tf, kind, gate ?? up);
  return gate ? ops.mul(value, up) : value;
}

/** The gradients of gate and up from that of what {@link activated} made of them. */
export function activatedBackward(
  model: Model,
  gradient: Tensor,
  { gate, up }: ActivatedTrace,
): { gate: Tensor | null; up: Tensor } {
  const { tf, ops } = model.engine;
  const kind = model.config.activation;
  if (gate && kind === 'silu') return ops.swiGluBackward(gradient, gate, up);
  const { value, slope } = activation(tf, kind, gate ?? up);
  if (!gate) return { gate, up: ops.mul(gradient, slope()) };
  return { gate: ops.mul(gradient, ops.mul(up, slope())), up: ops.mul(gradient, value) };
}

/** Applies an activation. `slope` makes its derivative at x from tensors of the same scope. */
function activation(tf: Tf, kind: Activation, x: Tensor): { value: Tensor; slope: () => Tensor } {
  switch (kind) {
    case 'silu': {
      const sigmoid: Tensor = tf.sigmoid(x);
      const value: Tensor = tf.mul(x, sigmoid);
      return { value, slope: () => tf.sub(tf.add(sigmoid, value), tf.mul(sigmoid, value)) };
    }
    case 'gelu-tanh': {
      const square = tf.square(x);
      const angle = tf.mul(x, tf.add(tf.mul(square, root * cubic), root));
      const share: Tensor = tf.mul(tf.add(tf.tanh(angle), 1), 0.5);
      // d tanh = 1 − tanh², and with s = (1 + tanh)/2 that is 4 s (1 − s).
      const slope = (): Tensor =>
        tf.add(
          share,
          tf.mul(tf.mul(tf.mul(x, 2), tf.mul(share, tf.sub(1, share))), tf.add(tf.mul(square, 3 * root * cubic), root)),
        );
      return { value: tf.mul(x, share), slope };
    }
    case 'gelu': {
      const share: Tensor = tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
      const slope = (): Tensor =>
        tf.add(share, tf.mul(tf.mul(x, 1 / Math.sqrt(2 * Math.PI)), tf.exp(tf.mul(tf.square(x), -0.5))));
      return { value: tf.mul(x, share), slope };
    }
  }
}

const root = Math.sqrt(2 / Math.PI);
const cubic = 0.044715;
