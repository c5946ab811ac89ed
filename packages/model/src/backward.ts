import { activatedBackward } from './activation.js';
import { mixHeadsBackward } from './attention.js';
import {
  type AttentionTrace,
  activate,
  attend,
  type BlockTrace,
  type FeedForwardTrace,
  projectTraced,
} from './block.js';
import { pickRows, positioned } from './forward.js';
import type { Layout } from './layout.js';
import { linear, linearBackward } from './linear.js';
import { free, scoped } from './memory.js';
import { type NormTrace, normalizeBackward, rmsNormBackward } from './norm.js';
import type { TracePart } from './trace-part.js';
import type { Deltas, KeyValues, LayerDelta, LayerWeights, Model, Pause, Tensor } from './types.js';

/** Hidden states after a run of layers with what their gradient needs. */
export interface TracedRun {
  /** Of the tokens that leave the last layer, [leaving or tokens, hidden size]. */
  readonly hidden: Tensor;
  readonly traces: readonly BlockTrace[];
  readonly leaving: readonly number[] | null;
}

/** Options of {@link forwardTraced}. */
export interface TracedOptions {
  readonly from: number;
  /** Keys and values of the earlier columns, one for each layer from `from`. */
  readonly past?: readonly KeyValues[];
  readonly deltas?: Deltas;
  /** The packed tokens, each once, whose hidden states are wanted; all where left out. */
  readonly leaving?: readonly number[];
  readonly pause?: Pause;
}

/**
 * Runs layers `from` to the last, keeping what {@link backward} needs. The caller disposes the result with
 * {@link disposeTrace}; `hidden` stays the caller's.
 */
export async function forwardTraced(
  model: Model,
  hidden: Tensor,
  layout: Layout,
  options: TracedOptions,
): Promise<TracedRun> {
  const { tf } = model.engine;
  const traces: BlockTrace[] = [];
  const { from } = options;
  const { layers } = model.config;
  const leaving = options.leaving ?? null;
  if (leaving && from >= layers) return { hidden: pickRows(model, hidden, leaving), traces, leaving };
  let current = from === 0 && model.weights.positions ? positioned(model, hidden, layout) : hidden;
  try {
    for (let layer = from; layer < layers; layer++) {
      const step = scoped(tf, () =>
        tracedBlock(model, model.weights.layers[layer], current, layout, {
          past: options.past?.[layer - from],
          delta: options.deltas?.get(layer),
          leaving: layer === layers - 1 ? leaving : null,
        }),
      );
      traces.push(step.trace);
      if (current !== hidden) current.dispose();
      current = step.hidden;
      await options.pause?.();
    }
    return { hidden: current, traces, leaving };
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
  { past, delta, leaving }: { past?: KeyValues; delta?: LayerDelta; leaving: readonly number[] | null },
): { hidden: Tensor; trace: BlockTrace } {
  const { mid, source, trace: attention } = attend(model, weights, input, layout, past);
  const only = (x: Tensor): Tensor => (leaving ? pickRows(model, x, leaving) : x);
  const kept = only(mid);
  const { activations, trace } = activate(model, weights, source === mid ? kept : only(source));
  const { hidden, postNorm } = projectTraced(model, weights, kept, activations, delta);
  return { hidden, trace: { attention, feedForward: { ...trace, postNorm } } };
}

/** Frees the tensors of a traced run. */
export function disposeTrace(model: Model, run: TracedRun): void {
  free(model.engine.tf, run.hidden, run.traces);
}

/** Options of {@link backward}. */
export interface BackwardOptions {
  readonly from: number;
  readonly deltas?: Deltas;
  /** Goes over a part of the run alone; layout, gradient and result are then the part's. */
  readonly part?: TracePart | null;
  readonly pause?: Pause;
}

/**
 * Gradient with respect to the hidden states that entered a traced run, [tokens, hidden size], from the gradient with
 * respect to those that left it, of the shape of {@link TracedRun.hidden}. Weights, past keys and past values are constants.
 */
export async function backward(
  model: Model,
  gradient: Tensor,
  layout: Layout,
  run: TracedRun,
  options: BackwardOptions,
): Promise<Tensor> {
  const last = run.traces.length - 1;
  const { leaving } = options.part ?? run;
  if (leaving && last < 0) return spreadRows(model, gradient, leaving, layout.tokens);
  let current = gradient;
  for (let i = last; i >= 0; i--) {
    const layer = options.from + i;
    const next = scoped(model.engine.tf, () =>
      blockBackward(model, model.weights.layers[layer], current, layout, options.part?.trace(i) ?? run.traces[i], {
        delta: options.deltas?.get(layer),
        leaving: i === last ? leaving : null,
      }),
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
  { delta, leaving }: { delta?: LayerDelta; leaving: readonly number[] | null },
): Tensor {
  const all = (x: Tensor): Tensor => (leaving ? spreadRows(model, x, leaving, layout.tokens) : x);
  const { attention, feedForward } = trace;
  if (!model.config.parallel) {
    const toMid = all(feedForwardBackward(model, weights, gradient, feedForward, delta, gradient));
    return attentionBackward(model, weights, toMid, layout, attention, toMid);
  }
  const throughFeedForward = all(feedForwardBackward(model, weights, gradient, feedForward, delta, gradient));
  return attentionBackward(model, weights, all(gradient), layout, attention, throughFeedForward);
}

/** The opposite of {@link pickRows}: [count, n] with the given rows at their places and zero elsewhere. */
function spreadRows(model: Model, rows: Tensor, places: readonly number[], count: number): Tensor {
  const { tf } = model.engine;
  const index = new Int32Array(count);
  places.forEach((place, i) => {
    index[place] = i + 1;
  });
  return scoped(tf, (): Tensor => {
    const padded = tf.concat([tf.zeros([1, rows.shape[1] as number]), rows], 0);
    return tf.gather(padded, tf.tensor1d(index, 'int32'));
  });
}

/** From the gradient of what the feed-forward adds to that of what it reads, plus `residual`. */
function feedForwardBackward(
  model: Model,
  weights: LayerWeights,
  gradient: Tensor,
  trace: FeedForwardTrace,
  delta: LayerDelta | undefined,
  residual: Tensor,
): Tensor {
  const { ops } = model.engine;
  const { feedForwardPostNorm: postNorm, gate, up } = weights;
  const toOutput =
    postNorm && trace.postNorm ? scaledNormBackward(model, gradient, postNorm, trace.postNorm) : gradient;
  let toActivations = linearBackward(model, toOutput, delta?.kind === 'dense' ? delta.weight : weights.down);
  if (delta?.kind === 'factors')
    toActivations = ops.add(toActivations, linearBackward(model, linear(model, toOutput, delta.left), delta.right));
  const to = activatedBackward(model, toActivations, trace.activated);
  let toNormed = linearBackward(model, to.up, up);
  if (gate && to.gate) toNormed = ops.add(linearBackward(model, to.gate, gate), toNormed);
  return normalizeBackward(model, toNormed, trace.norm, residual);
}

/** From the gradient of what attention adds to that of what it reads, plus `residual`. */
function attentionBackward(
  model: Model,
  weights: LayerWeights,
  gradient: Tensor,
  layout: Layout,
  trace: AttentionTrace,
  residual: Tensor,
): Tensor {
  const { attentionPostNorm: postNorm } = weights;
  const toOutput =
    postNorm && trace.postNorm ? scaledNormBackward(model, gradient, postNorm, trace.postNorm) : gradient;
  const toMixed = linearBackward(model, toOutput, weights.output);
  const toHeads = mixHeadsBackward(model, weights, toMixed, layout, trace.heads);
  const toProjected = headNormBackward(model, weights, toHeads, layout, trace.queryKeyNorm);
  return normalizeBackward(model, linearBackward(model, toProjected, weights.queryKeyValue), trace.norm, residual);
}

function scaledNormBackward(model: Model, gradient: Tensor, weight: Tensor, trace: NormTrace): Tensor {
  return rmsNormBackward(model, model.engine.ops.mul(gradient, weight), trace);
}

/** From the gradient of normed queries and keys, and of values, to that of what was projected. */
function headNormBackward(
  model: Model,
  weights: LayerWeights,
  gradient: Tensor,
  layout: Layout,
  queryKeyNorm: NormTrace | null,
): Tensor {
  if (!weights.queryKeyNorm || !queryKeyNorm) return gradient;
  const { tf, ops } = model.engine;
  const { heads, keyValueHeads, headSize } = model.config;
  const all = ops.reshape(gradient, [layout.tokens, heads + 2 * keyValueHeads, headSize]);
  const normed = tf.slice(all, [0, 0, 0], [-1, heads + keyValueHeads, -1]);
  const toNormed = scaledNormBackward(model, normed, weights.queryKeyNorm, queryKeyNorm);
  const toValues = tf.slice(all, [0, heads + keyValueHeads, 0], [-1, -1, -1]);
  return ops.reshape(ops.concat([toNormed, toValues], 1), [layout.tokens, -1]);
}
