import type { AttentionView, Layout } from './layout.js';
import type { KeyValues, Model, Tensor } from './types.js';

/** Heads in rows of equal length, [rows, groups, heads/groups · width or columns, head size], and what each saw. */
export interface PaddedHeads {
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly values: Tensor;
  readonly shares: Tensor;
  /** Derivative of the capped scores. */
  readonly capSlope: Tensor | null;
}

/** `mixHeads` by products of matrices over padded rows. */
export function mixPadded(
  model: Model,
  view: AttentionView,
  projected: Tensor,
  layout: Layout,
  past?: KeyValues,
): { mixed: Tensor; heads: PaddedHeads } {
  const { ops } = model.engine;
  const { heads, headSize, scoreCap } = model.config;
  const slots = rotated(model, view, projected);
  const queries = ops.gather(slots, layout.queryIndex);
  const { keys, values } = keyValueColumns(model, slots, layout, past);
  const { scores, capSlope } = capped(model, ops.matMul(queries, keys, false, true), scoreCap);
  const shares = ops.softmax(ops.add(scores, view.mask));
  const packed = ops.gather(ops.reshape(ops.matMul(shares, values), [-1, headSize]), layout.packIndex);
  const mixed = ops.reshape(packed, [layout.tokens, heads * headSize]);
  return { mixed, heads: { queries, keys, values, shares, capSlope } };
}

/** Keys and values of past and new columns, the new ones out of rotated `slots`, [tokens · slots, head size]. */
export function keyValueColumns(model: Model, slots: Tensor, layout: Layout, past?: KeyValues): KeyValues {
  const { ops } = model.engine;
  const own = { keys: ops.gather(slots, layout.keyIndex), values: ops.gather(slots, layout.valueIndex) };
  if (!past) return own;
  return { keys: ops.concat([past.keys, own.keys], 2), values: ops.concat([past.values, own.values], 2) };
}

/** Heads of packed tokens with queries and keys rotated, a head a row: [tokens · slots, head size]. */
export function rotated(model: Model, view: AttentionView, projected: Tensor): Tensor {
  const { ops } = model.engine;
  const { headSize } = model.config;
  if (!view.rotation) return ops.reshape(projected, [-1, headSize]);
  const { cosines, sines } = view.rotation;
  const pairs = ops.reshape(projected, cosines.shape);
  return ops.reshape(ops.add(ops.mul(pairs, cosines), ops.mul(ops.reverse(pairs, 1), sines)), [-1, headSize]);
}

function capped(model: Model, scores: Tensor, cap: number | null): { scores: Tensor; capSlope: Tensor | null } {
  if (cap === null) return { scores, capSlope: null };
  const { tf } = model.engine;
  const share = tf.tanh(tf.div(scores, cap));
  return { scores: tf.mul(share, cap), capSlope: tf.sub(1, tf.square(share)) };
}

/** `mixHeadsBackward` of {@link mixPadded}. */
export function mixPaddedBackward(
  model: Model,
  view: AttentionView,
  gradient: Tensor,
  layout: Layout,
  { queries, keys, values, shares, capSlope }: PaddedHeads,
): Tensor {
  const { tf, ops } = model.engine;
  const { headSize } = model.config;
  const mixed = ops.concat([ops.reshape(gradient, [-1, headSize]), tf.zeros([1, headSize])], 0);
  const padded = ops.gather(mixed, layout.padIndex());
  const toShares = ops.matMul(padded, values, false, true);
  let toScores = ops.mul(shares, ops.sub(toShares, ops.sum(ops.mul(toShares, shares))));
  if (capSlope) toScores = ops.mul(toScores, capSlope);
  const newColumns = (x: Tensor): Tensor =>
    layout.past === 0 ? x : tf.slice(x, [0, 0, 0, layout.past], [-1, -1, -1, layout.width]);
  const toQueries = ops.matMul(toScores, keys);
  const toKeys = ops.matMul(newColumns(toScores), queries, true, false);
  const toValues = ops.matMul(newColumns(shares), padded, true, false);
  const flat = [toQueries, toKeys, toValues].map((x) => ops.reshape(x, [-1, headSize]));
  let toSlots = ops.gather(ops.concat(flat, 0), layout.slotIndex());
  if (view.rotation) {
    const pairs = ops.reshape(toSlots, view.rotation.cosines.shape);
    toSlots = ops.add(ops.mul(pairs, view.rotation.cosines), ops.reverse(ops.mul(pairs, view.rotation.sines), 1));
  }
  return ops.reshape(toSlots, [layout.tokens, -1]);
}
