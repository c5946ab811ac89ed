import { embed, forward, logits } from './forward.js';
import { logitPositions } from './head.js';
import { createLayout } from './layout.js';
import { scoped } from './memory.js';
import { checkTokens } from './prompt.js';
import type { RunState } from './score.js';
import type { Model, Tensor } from './types.js';

/** How an edited model predicts a text, against the unedited one. */
export interface Divergence {
  readonly perplexity: number;
  readonly basePerplexity: number;
  /** Mean KL(unedited ‖ edited) of the next token, in nats. */
  readonly divergence: number;
  readonly tokens: number;
}

/** Hidden states after the last layer of the unedited model, by the index of the window: [tokens, hidden size]. */
export type BaseStates = Map<number, Float32Array>;

/**
 * Perplexity of windows of token ids, each behind the sink, with and without the edits, and how far the two distributions
 * are apart. The full distributions are compared, a few hundred positions at a time.
 * @param known what of the unedited model has been computed already; it is added to
 * @throws ModelError PROMPT_TOO_LONG
 */
export async function divergenceFromBase(
  model: Model,
  windows: readonly (readonly number[])[],
  state: RunState,
  known: BaseStates = new Map(),
): Promise<Divergence> {
  const sums = { edited: 0, base: 0, divergence: 0 };
  let tokens = 0;
  for (const [index, window] of windows.entries()) {
    checkTokens(model, window.length, 'window');
    const base = await baseStates(model, window, state, index, known);
    const own = await finalStates(model, window, state);
    try {
      for (let at = 0; at < window.length; at += logitPositions(model.config)) {
        const wanted = window.slice(at, at + logitPositions(model.config));
        const part = await compare(model, base, own, at, wanted);
        sums.edited -= part.edited;
        sums.base -= part.base;
        sums.divergence += part.divergence;
        tokens += wanted.length;
        await state.pause?.();
      }
    } finally {
      own.dispose();
    }
  }
  return {
    perplexity: Math.exp(sums.edited / tokens),
    basePerplexity: Math.exp(sums.base / tokens),
    // Rounding of equal distributions may leave it just below zero.
    divergence: Math.max(0, sums.divergence / tokens),
    tokens,
  };
}

async function baseStates(
  model: Model,
  window: readonly number[],
  { pause }: RunState,
  index: number,
  known: BaseStates,
): Promise<Float32Array> {
  const found = known.get(index);
  if (found) return found;
  const hidden = await finalStates(model, window, pause ? { pause } : {});
  try {
    const data = (await hidden.data()) as Float32Array;
    known.set(index, data);
    return data;
  } finally {
    hidden.dispose();
  }
}

/** [tokens, hidden size]; the caller frees it. */
async function finalStates(model: Model, window: readonly number[], state: RunState): Promise<Tensor> {
  const ids = [model.sinkId, ...window.slice(0, -1)];
  const layout = createLayout(model.engine.tf, model.config, [{ first: 0, count: ids.length }]);
  const embedded = embed(model, ids);
  try {
    return (await forward(model, embedded, layout, state)).hidden;
  } finally {
    layout.dispose();
    embedded.dispose();
  }
}

/** Log-probabilities of the wanted tokens, summed, and the summed divergence at their positions. */
async function compare(
  model: Model,
  base: Float32Array,
  own: Tensor,
  at: number,
  wanted: readonly number[],
): Promise<{ edited: number; base: number; divergence: number }> {
  const { tf } = model.engine;
  const { hiddenSize, vocabularySize } = model.config;
  const part = scoped(tf, (): Tensor[] => {
    const rows: Tensor = tf.tensor2d(base.subarray(at * hiddenSize, (at + wanted.length) * hiddenSize), [
      wanted.length,
      hiddenSize,
    ]);
    const before = tf.logSoftmax(logits(model, rows));
    const after = tf.logSoftmax(logits(model, tf.slice(own, [at, 0], [wanted.length, hiddenSize]) as Tensor));
    const flat = tf.tensor1d(
      Int32Array.from(wanted, (token, i) => i * vocabularySize + token),
      'int32',
    );
    return [
      tf.sum(tf.mul(tf.exp(before), tf.sub(before, after)), 1),
      tf.gather(tf.reshape(before, [-1]), flat),
      tf.gather(tf.reshape(after, [-1]), flat),
    ] as Tensor[];
  });
  const [divergences, befores, afters] = await Promise.all(part.map((tensor) => tensor.data()));
  tf.dispose(part);
  return { divergence: total(divergences), base: total(befores), edited: total(afters) };
}

function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}
