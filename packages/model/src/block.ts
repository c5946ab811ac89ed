import type { Layout } from './layout.js';
import type { KeyValues, LayerDelta, LayerWeights, Model, Tensor } from './types.js';

/** What the backward pass of a block needs of its forward pass. */
export interface BlockTrace {
  readonly attention: {
    readonly normed: Tensor;
    readonly rootMean: Tensor;
    readonly queries: Tensor;
    readonly keys: Tensor;
    readonly values: Tensor;
    readonly shares: Tensor;
  };
  readonly feedForward: {
    readonly normed: Tensor;
    readonly rootMean: Tensor;
    readonly silu: Tensor;
    readonly slope: Tensor;
  };
}

/** x · Wᵀ for W [out, in]. */
export function linear(model: Model, x: Tensor, weight: Tensor): Tensor {
  return model.engine.tf.matMul(x, weight, false, true);
}

/** RMS norm without its weight: y = x · r with r = (mean x² + ε)^-½ for each row. */
export function rmsNorm(model: Model, x: Tensor): { normed: Tensor; rootMean: Tensor } {
  const { tf } = model.engine;
  const rootMean: Tensor = tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), model.weights.epsilon));
  return { normed: tf.mul(x, rootMean), rootMean };
}

/**
 * First half of a block: hidden + attention(norm(hidden)).
 * @param hidden [tokens, hidden size], left to the caller
 * @param past keys and values of `layout.past` earlier columns
 * @returns the sum, and the keys and values of past and new columns
 */
export function attend(
  model: Model,
  weights: LayerWeights,
  hidden: Tensor,
  layout: Layout,
  past?: KeyValues,
): { mid: Tensor; keyValues: KeyValues; trace: BlockTrace['attention'] } {
  const { tf } = model.engine;
  const { heads, headSize } = model.config;
  const { normed, rootMean } = rmsNorm(model, hidden);
  const pairs = tf.reshape(linear(model, normed, weights.queryKeyValue), layout.cosines.shape);
  const rotated = tf.add(tf.mul(pairs, layout.cosines), tf.mul(tf.reverse(pairs, 1), layout.sines));
  const slots = tf.reshape(rotated, [-1, headSize]);
  const queries: Tensor = tf.gather(slots, layout.queryIndex as never);
  let keys: Tensor = tf.gather(slots, layout.keyIndex as never);
  let values: Tensor = tf.gather(slots, layout.valueIndex as never);
  if (past) {
    keys = tf.concat([past.keys, keys], 2);
    values = tf.concat([past.values, values], 2);
  }
  const shares: Tensor = tf.softmax(tf.add(tf.matMul(queries, keys, false, true), layout.mask));
  const mixed = tf.gather(tf.reshape(tf.matMul(shares, values), [-1, headSize]), layout.packIndex as never);
  const mid: Tensor = tf.add(
    hidden,
    linear(model, tf.reshape(mixed, [layout.tokens, heads * headSize]), weights.output),
  );
  return { mid, keyValues: { keys, values }, trace: { normed, rootMean, queries, keys, values, shares } };
}

/** Keys and values of a layer's new tokens alone, for a layer whose output nobody needs. */
export function keysAndValues(model: Model, weights: LayerWeights, hidden: Tensor, layout: Layout): KeyValues {
  const { tf } = model.engine;
  const { normed } = rmsNorm(model, hidden);
  const pairs = tf.reshape(linear(model, normed, weights.queryKeyValue), layout.cosines.shape);
  const rotated = tf.add(tf.mul(pairs, layout.cosines), tf.mul(tf.reverse(pairs, 1), layout.sines));
  const slots = tf.reshape(rotated, [-1, model.config.headSize]);
  return { keys: tf.gather(slots, layout.keyIndex as never), values: tf.gather(slots, layout.valueIndex as never) };
}

/** Input of the down projection: silu(gate) · up of norm(mid), [tokens, intermediate]. */
export function activate(
  model: Model,
  weights: LayerWeights,
  mid: Tensor,
): { activations: Tensor; gate: Tensor; up: Tensor; sigmoid: Tensor; silu: Tensor; normed: Tensor; rootMean: Tensor } {
  const { tf } = model.engine;
  const { normed, rootMean } = rmsNorm(model, mid);
  const gate = linear(model, normed, weights.gate);
  const up = linear(model, normed, weights.up);
  const sigmoid: Tensor = tf.sigmoid(gate);
  const silu: Tensor = tf.mul(gate, sigmoid);
  return { activations: tf.mul(silu, up), gate, up, sigmoid, silu, normed, rootMean };
}

/** Second half of a block: mid + W · activations with the layer's change applied. */
export function project(
  model: Model,
  weights: LayerWeights,
  mid: Tensor,
  activations: Tensor,
  delta?: LayerDelta,
): Tensor {
  const { tf } = model.engine;
  if (delta?.kind === 'dense') return tf.add(mid, linear(model, activations, delta.weight));
  const base: Tensor = tf.add(mid, linear(model, activations, weights.down));
  if (!delta) return base;
  return tf.add(base, tf.matMul(linear(model, activations, delta.right), delta.left));
}
