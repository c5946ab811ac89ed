import {
  createLayout,
  disposeModel,
  embed,
  forward,
  loadModel,
  logits,
  type Model,
  pickRows,
  type Tensor,
} from '@errata/model';
import type { Check } from './types.js';

/** Absolute for logits, as the fixture says; for activations relative to the larger of 1 and the wanted value. */
const tolerance = 2e-3;

interface WantedToken {
  readonly pos: number;
  readonly down_in_norm?: number | null;
  readonly down_in_first8?: readonly number[] | null;
  readonly down_out_norm?: number | null;
  readonly resid_after_norm?: number | null;
  readonly resid_after_first4?: readonly number[] | null;
}

interface WantedPrompt {
  readonly prompt: string;
  readonly ids_with_bos0: readonly number[];
  readonly top5?: readonly { id: number; logit: number }[];
  readonly logsumexp?: number;
  readonly logit_id0?: number;
  readonly logits_mean?: number;
  readonly logits_std?: number;
  readonly layers?: Readonly<Record<string, { tokens: readonly WantedToken[] }>>;
  readonly greedy16?: readonly number[];
}

/** What was found out about one prompt. */
class Comparison {
  cases = 0;
  mismatches = 0;
  worst = 0;

  number(found: number, wanted: number | null | undefined, scale: number): void {
    if (wanted === null || wanted === undefined) return;
    this.cases++;
    const error = Math.abs(found - wanted) / scale;
    this.worst = Math.max(this.worst, Number.isFinite(error) ? error : Number.POSITIVE_INFINITY);
    if (!(error <= tolerance)) this.mismatches++;
  }

  exact(same: boolean): void {
    this.cases++;
    if (!same) this.mismatches++;
  }
}

/**
 * Runs each prompt of `{prompts: [{prompt, ids_with_bos0, top5, layers, greedy16, …}]}` through the model: token ids
 * and greedy continuations exact, logits, activations and hidden states within the tolerance.
 */
export const checkModel: Check = async (json, { modelPath, engine }) => {
  const prompts = readPrompts(json);
  const model = await loadModel({ engine, path: modelPath });
  try {
    const comparison = new Comparison();
    for (const wanted of prompts) await comparePrompt(model, wanted, comparison);
    const { cases, mismatches, worst } = comparison;
    return { cases, maxRelError: worst, mismatches, pass: mismatches === 0 };
  } finally {
    disposeModel(model);
  }
};

async function comparePrompt(model: Model, wanted: WantedPrompt, comparison: Comparison): Promise<void> {
  const { tf } = model.engine;
  comparison.exact([model.sinkId, ...model.tokenizer.ids(wanted.prompt)].join() === wanted.ids_with_bos0.join());
  // Attention is causal: the continuation behind the prompt changes nothing before it, so one run serves both.
  const greedy = wanted.greedy16 ?? [];
  const ids = [...wanted.ids_with_bos0, ...greedy.slice(0, -1)];
  const layout = createLayout(tf, model.config, [{ first: 0, count: ids.length }]);
  let hidden = embed(model, ids);
  for (let layer = 0; layer < model.config.layers; layer++) {
    const tokens = wanted.layers?.[layer]?.tokens ?? [];
    const inputs: Tensor[] = [];
    const next = await forward(model, hidden, layout, {
      from: layer,
      to: layer + 1,
      capture: (_, activations) => {
        if (tokens.length > 0) inputs.push(tf.keep(activations.clone()));
      },
    });
    hidden.dispose();
    hidden = next.hidden;
    if (tokens.length > 0) await compareLayer(model, layer, inputs[0], hidden, tokens, comparison);
    tf.dispose(inputs);
  }
  const prompt = wanted.ids_with_bos0.length;
  const positions = Array.from({ length: Math.max(1, greedy.length) }, (_, i) => prompt - 1 + i);
  const picked = pickRows(model, hidden, positions);
  const scores = logits(model, picked);
  const best = tf.argMax(scores, 1);
  const chosen = await best.data();
  greedy.forEach((id, i) => {
    comparison.exact(chosen[i] === id);
  });
  compareLogits((await scores.data()).subarray(0, model.config.vocabularySize) as Float32Array, wanted, comparison);
  layout.dispose();
  tf.dispose([hidden, picked, scores, best]);
}

async function compareLayer(
  model: Model,
  layer: number,
  inputs: Tensor,
  hidden: Tensor,
  tokens: readonly WantedToken[],
  comparison: Comparison,
): Promise<void> {
  const { tf } = model.engine;
  const outputs = tf.matMul(inputs, model.weights.layers[layer].down, false, true);
  const [input, output, residual] = await Promise.all(
    [inputs, outputs, hidden].map((x) => x.array() as Promise<number[][]>),
  );
  outputs.dispose();
  for (const token of tokens) {
    const pairs: [number, number | null | undefined][] = [
      [norm(input[token.pos]), token.down_in_norm],
      [norm(output[token.pos]), token.down_out_norm],
      [norm(residual[token.pos]), token.resid_after_norm],
      ...(token.down_in_first8 ?? []).map((value, i): [number, number] => [input[token.pos][i], value]),
      ...(token.resid_after_first4 ?? []).map((value, i): [number, number] => [residual[token.pos][i], value]),
    ];
    for (const [found, value] of pairs) comparison.number(found, value, Math.max(1, Math.abs(value ?? 1)));
  }
}

function compareLogits(values: Float32Array, wanted: WantedPrompt, comparison: Comparison): void {
  const top = values.reduce((a, b) => Math.max(a, b));
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1);
  const ranked = [...values.keys()].sort((a, b) => values[b] - values[a]);
  wanted.top5?.forEach(({ id, logit }, i) => {
    // Neighbours closer than the tolerance may change places.
    comparison.exact(ranked[i] === id || Math.abs(values[ranked[i]] - values[id]) <= tolerance);
    comparison.number(values[id], logit, 1);
  });
  comparison.number(top + Math.log(values.reduce((sum, x) => sum + Math.exp(x - top), 0)), wanted.logsumexp, 1);
  comparison.number(values[0], wanted.logit_id0, 1);
  comparison.number(mean, wanted.logits_mean, 1);
  comparison.number(Math.sqrt(variance), wanted.logits_std, 1);
}

function norm(vector: readonly number[]): number {
  return Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
}

function readPrompts(json: unknown): WantedPrompt[] {
  const prompts = (json as { prompts?: unknown } | null)?.prompts;
  if (!Array.isArray(prompts) || prompts.length === 0)
    throw new Error('a model fixture needs a non-empty list "prompts"');
  prompts.forEach((entry: { prompt?: unknown; ids_with_bos0?: unknown } | null, i) => {
    if (typeof entry?.prompt !== 'string' || !Array.isArray(entry.ids_with_bos0) || entry.ids_with_bos0.length === 0)
      throw new Error(`prompts[${i}] needs a string "prompt" and a list "ids_with_bos0"`);
  });
  return prompts as WantedPrompt[];
}
