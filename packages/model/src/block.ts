import { type ActivatedTrace, activated } from './activation.js';
import { type HeadsTrace, mixHeads } from './attention.js';
import type { Layout } from './layout.js';
import { linear, linearBackward } from './linear.js';
import { type NormTrace, normalize, rmsNorm } from './norm.js';
import { keyValueColumns, rotated } from './padded-attention.js';
import type { KeyValues, LayerDelta, LayerWeights, Model, Tensor } from './types.js';

/** What the backward pass of a block needs of its forward pass. */
export interface BlockTrace {
  readonly attention: AttentionTrace;
  readonly feedForward: FeedForwardTrace;
}

export interface AttentionTrace {
  readonly norm: NormTrace;
  readonly queryKeyNorm: NormTrace | null;
  readonly heads: HeadsTrace;
  readonly postNorm: NormTrace | null;
}

export interface FeedForwardTrace {
  readonly norm: NormTrace;
  readonly activated: ActivatedTrace;
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
): { mid: Tensor; source: Tensor; keyValues: () => KeyValues; trace: AttentionTrace } {
  const { projected, norm, queryKeyNorm } = projectHeads(model, weights, hidden, layout);
  const { mixed, keyValues, trace: heads } = mixHeads(model, weights, projected, layout, past);
  const attended = linear(model, mixed, weights.output, weights.outputBias);
  const { added, trace: postNorm } = postNormed(model, attended, weights.attentionPostNorm);
  const mid = model.engine.ops.add(hidden, added);
  return {
    mid,
    source: model.config.parallel ? hidden : mid,
    keyValues,
    trace: { norm, queryKeyNorm, heads, postNorm },
  };
}

/** Keys and values of past and new columns alone, for a layer whose output nobody needs. */
export function keysAndValues(
  model: Model,
  weights: LayerWeights,
  hidden: Tensor,
  layout: Layout,
  past?: KeyValues,
): KeyValues {
  const { projected } = projectHeads(model, weights, hidden, layout);
  return keyValueColumns(model, rotated(model, layout.view(weights.attention), projected), layout, past);
}

/** Queries, keys and values of packed tokens, normed and not yet rotated: [tokens, slots · head size]. */
function projectHeads(
  model: Model,
  weights: LayerWeights,
  hidden: Tensor,
  layout: Layout,
): { projected: Tensor; norm: NormTrace; queryKeyNorm: NormTrace | null } {
  const { tf, ops } = model.engine;
  const { heads, keyValueHeads, headSize } = model.config;
  const norm = normalize(model, hidden);
  const projected = linear(model, norm.normed, weights.queryKeyValue, weights.queryKeyValueBias);
  if (!weights.queryKeyNorm) return { projected, norm, queryKeyNorm: null };
  const all = ops.reshape(projected, [layout.tokens, heads + 2 * keyValueHeads, headSize]);
  const queryKeyNorm = rmsNorm(model, tf.slice(all, [0, 0, 0], [-1, heads + keyValueHeads, -1]));
  const scaled = ops.mul(queryKeyNorm.normed, weights.queryKeyNorm);
  const joined = ops.concat([scaled, tf.slice(all, [0, heads + keyValueHeads, 0], [-1, -1, -1])], 1);
  return { projected: ops.reshape(joined, [layout.tokens, -1]), norm, queryKeyNorm };
}

/** What a half of a block adds to the residual. */
function postNormed(model: Model, output: Tensor, weight: Tensor | null): { added: Tensor; trace: NormTrace | null } {
  if (!weight) return { added: output, trace: null };
  const trace = rmsNorm(model, output);
  return { added: model.engine.ops.mul(trace.normed, weight), trace };
}

/**
 * Input of the down projection, [tokens, intermediate]: activation(gate) · up of norm(source), or activation(up).
 * @param source what the feed-forward reads, from {@link attend}
 */
export function activate(
  model: Model,
  weights: LayerWeights,
  source: Tensor,
): { activations: Tensor; trace: Omit<FeedForwardTrace, 'postNorm'> } {
  const norm = normalize(model, source);
  const up = linear(model, norm.normed, weights.up, weights.upBias);
  const gate = weights.gate && linear(model, norm.normed, weights.gate, weights.gateBias);
  return { activations: activated(model, gate, up), trace: { norm, activated: { gate, up } } };
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
  const { ops } = model.engine;
  const matrix = delta?.kind === 'dense' ? delta.weight : weights.down;
  let output = linear(model, activations, matrix, weights.downBias);
  if (delta?.kind === 'factors')
    output = ops.add(output, linearBackward(model, linear(model, activations, delta.right), delta.left));
  const { added, trace } = postNormed(model, output, weights.feedForwardPostNorm);
  return { hidden: ops.add(mid, added), postNorm: trace };
}
