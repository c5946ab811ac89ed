import type { Tensor } from '@tensorflow/tfjs-core';

type Tf = typeof import('@tensorflow/tfjs-core');

/** Rows divided by their root mean square, and what they were multiplied with, [rows, 1]. */
export interface Normed {
  readonly normed: Tensor;
  readonly rootMean: Tensor;
}

/** How packed tokens see each other: see {@link AttentionOps}. */
export interface AttentionPlan {
  readonly heads: number;
  /** Heads of keys and values, each for `heads / groups` queries. */
  readonly groups: number;
  /** Most new tokens of a row. */
  readonly width: number;
  /** Scores s become cap · tanh(s / cap); null for none. */
  readonly cap: number | null;
  /** First packed token and count of each row, int32 [rows, 2] */
  readonly spans: Tensor;
  /** 0 where a query sees a column, past ones first: [rows or 1, 1, heads/groups · width, past + width] */
  readonly mask: Tensor;
  /** Rotary factors, [tokens · slots, 2, size / 2]: x cos + (x with its halves swapped) sin; null for none. */
  readonly rotation: { readonly cosines: Tensor; readonly sines: Tensor } | null;
  /** Keys and values of the columns before the new tokens, [rows, groups, past, size]; null for none. */
  readonly past: { readonly keys: Tensor; readonly values: Tensor } | null;
}

/**
 * Attention of packed tokens as one operation, made for short rows: without padding, and at one thread a row and group.
 * A token's slots are its queries, keys and values of `size` numbers each, heads + 2 · groups of them.
 */
export interface AttentionOps {
  /**
   * @param projected unrotated slots, [tokens, slots · size]
   * @returns `mixed` [tokens, heads · size], `rotated` as `projected`, `shares` [tokens, heads, past + width]
   */
  forward(plan: AttentionPlan, projected: Tensor): { mixed: Tensor; rotated: Tensor; shares: Tensor };
  /** The gradient of `projected` from that of `mixed`. */
  backward(plan: AttentionPlan, gradient: Tensor, run: { rotated: Tensor; shares: Tensor }): Tensor;
}

/**
 * What the layers of a model do, tensors of fp32 throughout. Results belong to the scope of `tf.tidy` or to the caller;
 * there are no gradients.
 */
export interface TensorOps {
  /** Over the last axis: y = x r with r = (mean x² + ε)^-½. @param epsilon a scalar */
  rmsNorm(x: Tensor, epsilon: Tensor): Normed;
  /** r (dy − y mean(y dy)), plus `residual`. */
  rmsNormBackward(gradient: Tensor, of: Normed, residual?: Tensor): Tensor;
  /** gate σ(gate) up */
  swiGlu(gate: Tensor, up: Tensor): Tensor;
  swiGluBackward(gradient: Tensor, gate: Tensor, up: Tensor): { gate: Tensor; up: Tensor };
  /** Null where attention is made of the operations below. */
  readonly attention: AttentionOps | null;
  /** With broadcasting, as `sub` and `mul`. */
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  square(x: Tensor): Tensor;
  /** x^-½ */
  rsqrt(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  /** Over the last axis, as `mean` and `sum`, which keep it with length 1. */
  softmax(x: Tensor): Tensor;
  mean(x: Tensor): Tensor;
  sum(x: Tensor): Tensor;
  /** The entries of the first axis that `index` (int32) names, in its shape. */
  gather(x: Tensor, index: Tensor): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  /** The same values in reverse order along an axis. */
  reverse(x: Tensor, axis: number): Tensor;
  /** A · B, or of their transposes, of the last two axes; those before are the same in both. */
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
}

/** On any backend of tfjs. */
export function portableOps(tf: Tf): TensorOps {
  return composedOps({
    add: (a, b) => tf.add(a, b),
    sub: (a, b) => tf.sub(a, b),
    mul: (a, b) => tf.mul(a, b),
    square: (x) => tf.square(x),
    rsqrt: (x) => tf.rsqrt(x),
    sigmoid: (x) => tf.sigmoid(x),
    softmax: (x) => tf.softmax(x),
    mean: (x) => tf.mean(x, -1, true),
    sum: (x) => tf.sum(x, -1, true),
    gather: (x, index) => tf.gather(x, index as never),
    concat: (parts, axis) => tf.concat([...parts], axis),
    reshape: (x, shape) => tf.reshape(x, [...shape]),
    reverse: (x, axis) => tf.reverse(x, axis),
    matMul: (a, b, transposeA = false, transposeB = false) => tf.matMul(a, b, transposeA, transposeB),
  });
}

type Composed = 'rmsNorm' | 'rmsNormBackward' | 'swiGlu' | 'swiGluBackward' | 'attention';

/** Adds what is made of the other operations. */
export function composedOps(ops: Omit<TensorOps, Composed>): TensorOps {
  return {
    ...ops,
    rmsNorm(x, epsilon) {
      const rootMean = ops.rsqrt(ops.add(ops.mean(ops.square(x)), epsilon));
      return { normed: ops.mul(x, rootMean), rootMean };
    },
    rmsNormBackward(gradient, { normed, rootMean }, residual) {
      const along = ops.mean(ops.mul(gradient, normed));
      const back = ops.mul(rootMean, ops.sub(gradient, ops.mul(normed, along)));
      return residual ? ops.add(residual, back) : back;
    },
    swiGlu: (gate, up) => ops.mul(ops.mul(gate, ops.sigmoid(gate)), up),
    swiGluBackward(gradient, gate, up) {
      const sigmoid = ops.sigmoid(gate);
      const value = ops.mul(gate, sigmoid);
      const product = ops.mul(value, up);
      // up times the slope σ + gate σ (1 − σ)
      const slope = ops.add(product, ops.mul(sigmoid, ops.sub(up, product)));
      return { gate: ops.mul(gradient, slope), up: ops.mul(gradient, value) };
    },
    attention: null,
  };
}
