import type { BlockTrace } from './block.js';
import { activate, attend, project } from './block.js';
import type { Layout } from './layout.js';
import { free, scoped } from './memory.js';
import type { Deltas, KeyValues, LayerDelta, LayerWeights, Model, Pause, Tensor } from './types.js';

/** Hidden states after a run of layers with what their gradient needs. */
export interface TracedRun {
  readonly hidden: Tensor;
  readonly traces: readonly BlockTrace[];
}

/**
 * Runs layers `from` to the last, keeping what {@link backward} needs. The caller disposes the result with
 * {@link disposeTrace}; `hidden` stays the caller's.
 * @param past keys and values of the earlier columns, one for each layer from `from`
 */
export async function forwardTraced(
  model: Model,
  hidden: Tensor,
  layout: Layout,
  options: { from: number; past?: readonly KeyValues[]; deltas?: Deltas; pause?: Pause },
): Promise<TracedRun> {
  const { tf } = model.engine;
  const traces: BlockTrace[] = [];
  let current = hidden;
  try {
    for (let layer = options.from; layer < model.config.layers; layer++) {
      const step = scoped(tf, () =>
        tracedBlock(
          model,
          model.weights.layers[layer],
          current,
          layout,
          options.past?.[layer - options.from],
          options.deltas?.get(layer),
        ),
      );
      traces.push(step.trace);
      if (current !== hidden) current.dispose();
      current = step.hidden;
      await options.pause?.();
    }
    return { hidden: current, traces };
  } catch (error) {
    if (current !== hidden) current.dispose();
    free(tf, traces);
    throw error;
  }
}

function tracedBlock(
  model: Model,
  weights: LayerWeights,
  input: Tensor,
  layout: Layout,
  past?: KeyValues,
  delta?: LayerDelta,
): { hidden: Tensor; trace: BlockTrace } {
  const { tf } = model.engine;
  const { mid, trace: attention } = attend(model, weights, input, layout, past);
  const { activations, up, sigmoid, silu, normed, rootMean } = activate(model, weights, mid);
  // d silu/d gate · up, from σ' = σ (1 − σ)
  const slope: Tensor = tf.mul(up, tf.sub(tf.add(sigmoid, silu), tf.mul(sigmoid, silu)));
  return {
    hidden: project(model, weights, mid, activations, delta),
    trace: { attention, feedForward: { normed, rootMean, silu, slope } },
  };
}

/** Frees the tensors of a traced run. */
export function disposeTrace(model: Model, run: TracedRun): void {
  free(model.engine.tf, run.hidden, run.traces);
}

/**
 * Gradient with respect to the hidden states that entered a traced run, from the gradient with respect to those that
 * left it ([tokens, hidden size] both). Weights, past keys and past values are constants.
 */
export async function backward(
  model: Model,
  gradient: Tensor,
  layout: Layout,
  run: TracedRun,
  options: { from: number; deltas?: Deltas; pause?: Pause },
): Promise<Tensor> {
  let current = gradient;
  for (let i = run.traces.length - 1; i >= 0; i--) {
    const layer = options.from + i;
    const next = scoped(model.engine.tf, () =>
      blockBackward(model, model.weights.layers[layer], current, layout, run.traces[i], options.deltas?.get(layer)),
    );
    if (current !== gradient) current.dispose();
    current = next;
    try {
      await options.pause?.();
    } catch (error) {
      current.dispose();
      throw error;
    }
  }
  return current;
}

function blockBackward(
  model: Model,
  weights: LayerWeights,
  gradient: Tensor,
  layout: Layout,
  trace: BlockTrace,
  delta?: LayerDelta,
): Tensor {
  const { tf } = model.engine;
  const { feedForward, attention } = trace;

  let toActivations: Tensor = tf.matMul(gradient, delta?.kind === 'dense' ? delta.weight : weights.down);
  if (delta?.kind === 'factors')
    toActivations = tf.add(toActivations, tf.matMul(tf.matMul(gradient, delta.left, false, true), delta.right));
  const toFeedForward = tf.add(
    tf.matMul(tf.mul(toActivations, feedForward.slope), weights.gate),
    tf.matMul(tf.mul(toActivations, feedForward.silu), weights.up),
  );
  const toMid = tf.add(gradient, normBackward(model, toFeedForward, feedForward)) as Tensor;

  const toAttention = attentionBackward(model, tf.matMul(toMid, weights.output), layout, attention);
  const toInput = tf.matMul(toAttention, weights.queryKeyValue);
  return tf.add(toMid, normBackward(model, toInput, attention));
}

/** y = x r: dx = r (dy − y · mean(y · dy)). */
function normBackward(
  model: Model,
  gradient: Tensor,
  { normed, rootMean }: { normed: Tensor; rootMean: Tensor },
): Tensor {
  const { tf } = model.engine;
  const along = tf.mean(tf.mul(gradient, normed), 1, true);
  return tf.mul(rootMean, tf.sub(gradient, tf.mul(normed, along)));
}

/** From the gradient of the packed attention output to that of the packed, unrotated queries, keys and values. */
function attentionBackward(
  model: Model,
  gradient: Tensor,
  layout: Layout,
  { queries, keys, values, shares }: BlockTrace['attention'],
): Tensor {
  const { tf } = model.engine;
  const { headSize } = model.config;
  const heads = tf.concat([tf.reshape(gradient, [-1, headSize]), tf.zeros([1, headSize])], 0);
  const padded = tf.gather(heads, layout.padIndex() as never);
  const toShares = tf.matMul(padded, values, false, true);
  const toScores = tf.mul(shares, tf.sub(toShares, tf.sum(tf.mul(toShares, shares), 3, true)));
  const newColumns = (x: Tensor): Tensor =>
    layout.past === 0 ? x : tf.slice(x, [0, 0, 0, layout.past], [-1, -1, -1, layout.width]);
  const toQueries = tf.matMul(toScores, keys);
  const toKeys = tf.matMul(newColumns(toScores as Tensor), queries, true, false);
  const toValues = tf.matMul(newColumns(shares), padded, true, false);
  const flat = [toQueries, toKeys, toValues].map((x) => tf.reshape(x, [-1, headSize]));
  const slots = tf.reshape(tf.gather(tf.concat(flat, 0), layout.slotIndex() as never), layout.cosines.shape);
  const unrotated = tf.add(tf.mul(slots, layout.cosines), tf.reverse(tf.mul(slots, layout.sines), 1));
  return tf.reshape(unrotated, [layout.tokens, -1]);
}
