import type { ModelConfig } from './config.js';
import { linear, linearBackward } from './linear.js';
import { type NormTrace, normalize, normalizeBackward } from './norm.js';
import type { Model, Tensor } from './types.js';

/** Logits held at once, 64 MB of them, and the most positions that they may belong to: more gain no speed. */
const logitsAtOnce = 2 ** 24;
const mostPositions = 256;

/** Positions whose logits are computed together. */
export function logitPositions({ vocabularySize }: Pick<ModelConfig, 'vocabularySize'>): number {
  return Math.max(1, Math.min(mostPositions, Math.floor(logitsAtOnce / vocabularySize)));
}

/** The norm after the last layer, with its weight and bias: what the unembedding is applied to. */
export function finalNorm(model: Model, hidden: Tensor): { scaled: Tensor; trace: NormTrace } {
  const trace = normalize(model, hidden);
  const { finalNorm, finalNormBias } = model.weights;
  const scaled: Tensor = model.engine.tf.mul(trace.normed, finalNorm);
  return { scaled: finalNormBias ? model.engine.tf.add(scaled, finalNormBias) : scaled, trace };
}

/** Gradient with respect to the hidden states from that with respect to `scaled` of {@link finalNorm}. */
export function finalNormBackward(model: Model, gradient: Tensor, trace: NormTrace): Tensor {
  return normalizeBackward(model, model.engine.tf.mul(gradient, model.weights.finalNorm), trace);
}

/** Logits of `scaled` of {@link finalNorm}: [n, vocabulary]. */
export function unembed(model: Model, scaled: Tensor): Tensor {
  const { tf } = model.engine;
  const scores = linear(model, scaled, model.weights.unembedding, model.weights.unembeddingBias);
  const cap = model.config.logitCap;
  return cap === null ? scores : tf.mul(tf.tanh(tf.div(scores, cap)), cap);
}

/** Gradient with respect to `scaled` from that with respect to the logits, [n, vocabulary] both. */
export function unembedBackward(model: Model, gradient: Tensor, logits: Tensor): Tensor {
  const { tf } = model.engine;
  const cap = model.config.logitCap;
  const toScores = cap === null ? gradient : tf.mul(gradient, tf.sub(1, tf.square(tf.div(logits, cap))));
  return linearBackward(model, toScores, model.weights.unembedding);
}
