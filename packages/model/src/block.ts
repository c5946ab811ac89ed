import { activation } from './activation.js';
import type { AttentionView, Layout } from './layout.js';
import { linear, linearBackward } from './linear.js';
import { type NormTrace, normalize, rmsNorm } from './norm.js';
import type { KeyValues, LayerDelta, LayerWeights, Model, Tensor } from './types.js';

/** What the backward pass of a block needs of its forward pass. */
export interface BlockTrace {
  readonly attention: AttentionTrace;
  readonly feedForward: FeedForwardTrace;
}

export interface AttentionTrace {
  readonly norm: NormTrace;
  readonly queryKeyNorm: NormTrace | null;
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly values: Tensor;
  /** Derivative of the capped scores. */
  readonly capSlope: Tensor | null;
  readonly shares: Tensor;
  readonly postNorm: NormTrace | null;
}

export interface FeedForwardTrace {
  readonly norm: NormTrace;
  /** activation(gate); null where there is no gate. */
  readonly activated: Tensor | null;
  /** activation'(gate) · up, or activation'(up) where there is no gate. */
  readonly slope: Tensor;
  readonly postNorm: NormTrace | null;
}

/**
 * First half of a block: hidden + attention(norm(hidden)).
 * @param hidden [tokens, hidden size], left to the caller
 * @param past keys and values of `layout.past` earlier columns
 * @returns the sum, what the feed-forward reads (the sum, or `hidden` itself in parallel blocks), and the keys and
 * values of past and new columns
 */
export function attend(
  model: Model,
  weights: LayerWeights,
  hidden: Tensor,
  layout: Layout,
  past?: KeyValues,
): { mid: Tensor; source: Tensor; keyValues: KeyValues; trace: AttentionTrace } {
  const { tf } = model.engine;
  const { heads, headSize, scoreCap, parallel } = model.config;
  const view = layout.view(weights.attention);
  const { slots, norm, queryKeyNorm } = headSlots(model, weights, hidden, layout, view);
  const queries: Tensor = tf.gather(slots, layout.queryIndex as never);
  let keys: Tensor = tf.gather(slots, layout.keyIndex as never);
  let values: Tensor = tf.gather(slots, layout.valueIndex as never);
  if (past) {
    keys = tf.concat([past.keys, keys], 2);
    values = tf.concat([past.values, values], 2);
  }
  const { scores, capSlope } = capped(model, tf.matMul(queries, keys, false, true), scoreCap);
  const shares: Tensor = tf.softmax(tf.add(scores, view.mask));
  const mixed = tf.gather(tf.reshape(tf.matMul(shares, values), [-1, headSize]), layout.packIndex as never);
  const attended = linear(
    model,
    tf.reshape(mixed, [layout.tokens, heads * headSize]),
    weights.output,
    weights.outputBias,
  );
  const { added, trace: postNorm } = postNormed(model, attended, weights.attentionPostNorm);
  const mid: Tensor = tf.add(hidden, added);
  return {
    mid,
    source: parallel ? hidden : mid,
    keyValues: { keys, values },
    trace: { norm, queryKeyNorm, queries, keys, values, capSlope, shares, postNorm },
  };
}

/** Keys and values of a layer's new tokens alone, for a layer whose output nobody needs. */
export function keysAndValues(model: Model, weights: LayerWeights, hidden: Tensor, layout: Layout): KeyValues {
  const { tf } = model.engine;
  const { slots } = headSlots(model, weights, hidden, layout, layout.view(weights.attention));
  return { keys: tf.gather(slots, layout.keyIndex as never), values: tf.gather(slots, layout.valueIndex as never) };
}

/** Queries, keys and values of packed tokens, normed and rotated, a head a row: [tokens · slots, head size]. */
function headSlots(
  model: Model,
  weights: LayerWeights,
  hidden: Tensor,
  layout: Layout,
  view: AttentionView,
): { slots: Tensor; norm: NormTrace; queryKeyNorm: NormTrace | null } {
  const { tf } = model.engine;
  const { heads, keyValueHeads, headSize } = model.config;
  const norm = normalize(model, hidden);
  let projected = linear(model, norm.normed, weights.queryKeyValue, weights.queryKeyValueBias);
  let queryKeyNorm: NormTrace | null = null;
  if (weights.queryKeyNorm) {
    const all = tf.reshape(projected, [layout.tokens, heads + 2 * keyValueHeads, headSize]);
    queryKeyNorm = rmsNorm(model, tf.slice(all, [0, 0, 0], [-1, heads + keyValueHeads, -1]));
    projected = tf.concat(
      [tf.mul(queryKeyNorm.normed, weights.queryKeyNorm), tf.slice(all, [0, heads + keyValueHeads, 0], [-1, -1, -1])],
      1,
    );
  }
  if (!view.rotation) return { slots: tf.reshape(projected, [-1, headSize]), norm, queryKeyNorm };
  const { cosines, sines } = view.rotation;
  const pairs = tf.reshape(projected, cosines.shape);
  const rotated = tf.add(tf.mul(pairs, cosines), tf.mul(tf.reverse(pairs, 1), sines));
  return { slots: tf.reshape(rotated, [-1, headSize]), norm, queryKeyNorm };
}

function capped(model: Model, scores: Tensor, cap: number | null): { scores: Tensor; capSlope: Tensor | null } {
  if (cap === null) return { scores, capSlope: null };
  const { tf } = model.engine;
  const share = tf.tanh(tf.div(scores, cap));
  return { scores: tf.mul(share, cap), capSlope: tf.sub(1, tf.square(share)) };
}

/** What a half of a block adds to the residual. */
function postNormed(model: Model, output: Tensor, weight: Tensor | null): { added: Tensor; trace: NormTrace | null } {
  if (!weight) return { added: output, trace: null };
  const trace = rmsNorm(model, output);
  return { added: model.engine.tf.mul(trace.normed, weight), trace };
}

/**
 * Input of the down projection, [tokens, intermediate]: activation(gate) · up of norm(source), or activation(up).
 * @param source what the feed-forward reads, from {@link attend}
 */
export function activate(
  model: Model,
  weights: LayerWeights,
  source: Tensor,
): { activations: Tensor; trace: () => Omit<FeedForwardTrace, 'postNorm'> } {
  const { tf } = model.engine;
  const kind = model.config.activation;
  const norm = normalize(model, source);
  const up = linear(model, norm.normed, weights.up, weights.upBias);
  if (!weights.gate) {
    const { value, slope } = activation(tf, kind, up);
    return { activations: value, trace: () => ({ norm, activated: null, slope: slope() }) };
  }
  const { value, slope } = activation(tf, kind, linear(model, norm.normed, weights.gate, weights.gateBias));
  return {
    activations: tf.mul(value, up),
    trace: () => ({ norm, activated: value, slope: tf.mul(up, slope()) }),
  };
}

/** Second half of a block: mid + W · activations with the layer's change applied. */
export function project(
  model: Model,
  weights: LayerWeights,
  mid: Tensor,
  activations: Tensor,
  delta?: LayerDelta,
): Tensor {
  return projectTraced(model, weights, mid, activations, delta).hidden;
}

/** {@link project}, with what the backward pass needs. */
export function projectTraced(
  model: Model,
  weights: LayerWeights,
  mid: Tensor,
  activations: Tensor,
  delta?: LayerDelta,
): { hidden: Tensor; postNorm: NormTrace | null } {
  const { tf } = model.engine;
  const matrix = delta?.kind === 'dense' ? delta.weight : weights.down;
  let output = linear(model, activations, matrix, weights.downBias);
  if (delta?.kind === 'factors')
    output = tf.add(output, linearBackward(model, linear(model, activations, delta.right), delta.left));
  const { added, trace } = postNormed(model, output, weights.feedForwardPostNorm);
  return { hidden: tf.add(mid, added), postNorm: trace };
}
