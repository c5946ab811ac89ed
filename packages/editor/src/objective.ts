import {
  finalNorm,
  finalNormBackward,
  logitPositions,
  type Model,
  scoped,
  type Tensor,
  unembed,
  unembedBackward,
} from '@errata/model';

/**
 * The losses of watched positions. With x a position's normed hidden state and U, b the unembedding and its bias, both
 * kinds are `offset + log Σ exp(U x + b) − anchor · x`: for a wanted token t, anchor = U_t and offset = −b_t (negative
 * log-likelihood); for a distribution p to keep, anchor = Uᵀp and offset = Σ p (log p − b) (KL divergence from p).
 * Where logits L are capped, they are no linear function of x: the anchor is p itself, or 1 at t, and the loss
 * `offset + log Σ exp(L) − anchor · L`.
 */
export interface Objective {
  /** [positions, hidden size]; [positions, vocabulary] where logits are capped */
  readonly anchors: Tensor;
  readonly offsets: Float64Array;
}

export interface Losses {
  readonly losses: Float64Array;
  /** d (Σ weight · loss) / d hidden, [positions, hidden size] */
  readonly gradient: Tensor;
}

/**
 * Builds the objective of positions whose present hidden states are `hidden` ([positions, hidden size]).
 * @param tokens the wanted token, or null where the present distribution is to be kept
 * @returns the objective, and the likeliest token of each position at present
 */
export async function createObjective(
  model: Model,
  hidden: Tensor,
  tokens: readonly (number | null)[],
): Promise<{ objective: Objective; likeliest: number[] }> {
  const { tf } = model.engine;
  const chunkPositions = logitPositions(model.config);
  const parts: Tensor[] = [];
  const likeliest: number[] = [];
  const offsets = new Float64Array(tokens.length);
  for (let at = 0; at < tokens.length; at += chunkPositions) {
    const part = tokens.slice(at, at + chunkPositions);
    const { anchors, best, constants } = scoped(tf, () => {
      const { unembedding, unembeddingBias } = model.weights;
      const scores = unembed(model, finalNorm(model, slice(model, hidden, at, part.length)).scaled);
      const logProbabilities: Tensor = tf.logSoftmax(scores);
      const probabilities: Tensor = tf.exp(logProbabilities);
      const wanted = tf.tensor1d(
        part.map((token) => token ?? 0),
        'int32',
      );
      const keeps = tf.tensor1d(
        part.map((token) => token === null),
        'bool',
      );
      const choose = (kept: Tensor, other: Tensor): Tensor => tf.where(tf.reshape(keeps, [-1, 1]), kept, other);
      const linear = model.config.logitCap === null;
      const bias = linear ? unembeddingBias : null;
      const entropies = bias ? tf.sub(logProbabilities, bias) : logProbabilities;
      return {
        anchors: linear
          ? choose(tf.matMul(probabilities, unembedding), tf.gather(unembedding, wanted))
          : choose(probabilities, tf.oneHot(wanted, unembedding.shape[0], 1, 0, 'float32') as Tensor),
        best: tf.argMax(scores, 1) as Tensor,
        constants: tf.where(
          keeps,
          tf.sum(tf.mul(probabilities, entropies), 1),
          bias ? tf.neg(tf.gather(bias, wanted)) : tf.zeros([part.length]),
        ) as Tensor,
      };
    });
    parts.push(anchors);
    likeliest.push(...(await best.data()));
    offsets.set(await constants.data(), at);
    tf.dispose([best, constants]);
  }
  const anchors: Tensor = tf.concat(parts, 0);
  tf.dispose(parts);
  return { objective: { anchors, offsets }, likeliest };
}

/** Losses at hidden states [positions, hidden size] and the gradient of their weighted sum. The caller frees it. */
export async function evaluateObjective(
  model: Model,
  objective: Objective,
  hidden: Tensor,
  weights: readonly number[],
): Promise<Losses> {
  const { tf } = model.engine;
  const chunkPositions = logitPositions(model.config);
  const losses = new Float64Array(weights.length);
  const parts: Tensor[] = [];
  for (let at = 0; at < weights.length; at += chunkPositions) {
    const count = Math.min(chunkPositions, weights.length - at);
    const step = scoped(tf, () => {
      const { scaled, trace } = finalNorm(model, slice(model, hidden, at, count));
      const anchors = slice(model, objective.anchors, at, count);
      const scores = unembed(model, scaled);
      const top = tf.max(scores, 1, true);
      const exponentials = tf.exp(tf.sub(scores, top));
      const total = tf.sum(exponentials, 1, true);
      const logTotal = tf.add(tf.log(total), top);
      const weight = tf.tensor2d([...weights.slice(at, at + count)], [count, 1]);
      const linear = model.config.logitCap === null;
      const agreement = tf.sum(tf.mul(linear ? scaled : scores, anchors), 1, true);
      const towards = (expected: Tensor): Tensor => tf.mul(tf.sub(expected, anchors), weight);
      const toScaled = linear
        ? towards(tf.div(tf.matMul(exponentials, model.weights.unembedding), total))
        : unembedBackward(model, towards(tf.div(exponentials, total)), scores);
      return {
        loss: tf.sub(logTotal, agreement) as Tensor,
        gradient: finalNormBackward(model, toScaled, trace),
      };
    });
    const values = await step.loss.data();
    for (let i = 0; i < count; i++) losses[at + i] = objective.offsets[at + i] + values[i];
    step.loss.dispose();
    parts.push(step.gradient);
  }
  if (parts.length === 1) return { losses, gradient: parts[0] };
  const gradient: Tensor = tf.concat(parts, 0);
  tf.dispose(parts);
  return { losses, gradient };
}

function slice(model: Model, x: Tensor, from: number, count: number): Tensor {
  return model.engine.tf.slice(x, [from, 0], [count, -1]);
}
