import { type Model, scoped, type Tensor } from '@errata/model';

/** Positions whose logits are held at once: 256 × 49,152 values are 50 MB. */
const chunkPositions = 256;

/**
 * The losses of watched positions. With x a position's normed hidden state and U the unembedding, both kinds are
 * `offset + log Σ exp(U x) − anchor · x`: for a wanted token t, anchor = U_t and offset = 0 (negative log-likelihood);
 * for a distribution p to keep, anchor = Uᵀp and offset = Σ p log p (KL divergence from p).
 */
export interface Objective {
  /** [positions, hidden size] */
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
  const parts: Tensor[] = [];
  const likeliest: number[] = [];
  const offsets = new Float64Array(tokens.length);
  for (let at = 0; at < tokens.length; at += chunkPositions) {
    const part = tokens.slice(at, at + chunkPositions);
    const { anchors, best, negativeEntropy } = scoped(tf, () => {
      const { unembedding } = model.weights;
      const scores: Tensor = tf.matMul(
        finalNorm(model, slice(model, hidden, at, part.length)).scaled,
        unembedding,
        false,
        true,
      );
      const logProbabilities = tf.logSoftmax(scores);
      const probabilities = tf.exp(logProbabilities);
      const wanted = tf.gather(
        unembedding,
        tf.tensor1d(
          part.map((token) => token ?? 0),
          'int32',
        ),
      );
      const keeps = tf.tensor2d(
        part.map((token) => [token === null]),
        undefined,
        'bool',
      );
      return {
        anchors: tf.where(keeps, tf.matMul(probabilities, unembedding), wanted) as Tensor,
        best: tf.argMax(scores, 1) as Tensor,
        negativeEntropy: tf.sum(tf.mul(probabilities, logProbabilities), 1) as Tensor,
      };
    });
    parts.push(anchors);
    likeliest.push(...(await best.data()));
    const entropies = await negativeEntropy.data();
    part.forEach((token, i) => {
      offsets[at + i] = token === null ? entropies[i] : 0;
    });
    tf.dispose([best, negativeEntropy]);
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
  const losses = new Float64Array(weights.length);
  const parts: Tensor[] = [];
  for (let at = 0; at < weights.length; at += chunkPositions) {
    const count = Math.min(chunkPositions, weights.length - at);
    const step = scoped(tf, () => {
      const { normed, rootMean, scaled } = finalNorm(model, slice(model, hidden, at, count));
      const anchors = slice(model, objective.anchors, at, count);
      const { unembedding } = model.weights;
      const scores: Tensor = tf.matMul(scaled, unembedding, false, true);
      const top = tf.max(scores, 1, true);
      const exponentials = tf.exp(tf.sub(scores, top));
      const total = tf.sum(exponentials, 1, true);
      const expected = tf.div(tf.matMul(exponentials, unembedding), total);
      const logTotal = tf.add(tf.log(total), top);
      const agreement = tf.sum(tf.mul(scaled, anchors), 1, true);
      const weight = tf.tensor2d([...weights.slice(at, at + count)], [count, 1]);
      const toNormed = tf.mul(tf.mul(tf.sub(expected, anchors), weight), model.weights.finalNorm);
      const along = tf.mean(tf.mul(toNormed, normed), 1, true);
      return {
        loss: tf.sub(logTotal, agreement) as Tensor,
        gradient: tf.mul(rootMean, tf.sub(toNormed, tf.mul(normed, along))) as Tensor,
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

function finalNorm(model: Model, hidden: Tensor): { normed: Tensor; rootMean: Tensor; scaled: Tensor } {
  const { tf } = model.engine;
  const rootMean: Tensor = tf.rsqrt(tf.add(tf.mean(tf.square(hidden), 1, true), model.weights.epsilon));
  const normed: Tensor = tf.mul(hidden, rootMean);
  return { normed, rootMean, scaled: tf.mul(normed, model.weights.finalNorm) };
}
