import type { EditorConfig } from '@errata/contracts';
import {
  backward,
  createLayout,
  type Deltas,
  disposeTrace,
  embed,
  finalNorm,
  finalNormBackward,
  forward,
  forwardTraced,
  free,
  type Layout,
  type Model,
  type Pause,
  pickRows,
  scoped,
  type Tensor,
  unembed,
  unembedBackward,
} from '@errata/model';
import type { ResolvedTargets } from './joint-targets.js';
import type { EditText } from './lookup.js';
import { SearchState } from './search-state.js';
import { type TargetRow, targetRows } from './target-rows.js';

/**
 * The same search as `resolveTargets` without any of its savings: one edit at a time; in each step all layers on all
 * tokens, padded to the longest row, and the logits of every position. What those savings are measured and tested against.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 */
export async function resolveTargetsPlainly(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  options: { readonly deltas?: Deltas; readonly pause?: Pause } = {},
): Promise<ResolvedTargets> {
  const size = model.config.hiddenSize;
  const targets = new Float32Array(edits.length * size);
  const states: SearchState[] = [];
  for (const [index, edit] of edits.entries()) {
    const state = await searchPlainly(model, edit, config, options);
    targets.set(state.target(), index * size);
    states.push(state);
  }
  return { targets, figures: states.map((state) => state.figures()) };
}

async function searchPlainly(
  model: Model,
  edit: EditText,
  config: EditorConfig,
  { deltas, pause }: { readonly deltas?: Deltas; readonly pause?: Pause },
): Promise<SearchState> {
  const { tf } = model.engine;
  const rows = padded(model, targetRows(model, [edit], config));
  const layout = createLayout(
    tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.ids.length })),
  );
  const last = config.layers[config.layers.length - 1];
  const lookups = rows.map((row, r) => layout.starts[r] + row.lookup);
  let state: SearchState | undefined;
  let kept: readonly Float32Array[] = [];
  try {
    for (let step = 0; ; step++) {
      await pause?.();
      const run = { deltas, layout, from: last + 1 };
      const below = await hiddenBelow(model, rows, run);
      const present = pickRows(model, below, [lookups[0]]);
      state ??= new SearchState((await present.data()) as Float32Array, config);
      const moved = addAt(model, below, lookups, state.delta);
      free(tf, below, present);
      const trace = await forwardTraced(model, moved, layout, { from: last + 1, ...(deltas && { deltas }) });
      if (trace.hidden !== moved) moved.dispose();
      const found = await losses(model, trace.hidden, rows, layout, kept, config.klWeight);
      if (step === 0) {
        kept = found.kept;
        state.alreadyKnown = found.known;
      }
      state.measure(found.nll, found.kl);
      if (state.done || step === config.maxSteps - 1) {
        free(tf, found.gradient);
        disposeTrace(model, trace);
        return state;
      }
      const input = await backward(model, found.gradient, layout, trace, { from: last + 1, ...(deltas && { deltas }) });
      const picked = pickRows(model, input, lookups);
      const values = await picked.data();
      free(tf, picked, ...(input === found.gradient ? [] : [input]), found.gradient);
      disposeTrace(model, trace);
      const gradient = new Float64Array(state.delta.length);
      for (const [i, value] of values.entries()) gradient[i % gradient.length] += value;
      state.step(gradient);
    }
  } finally {
    layout.dispose();
  }
}

/** Rows of equal length, as tensors without packing have them; what follows a row's end cannot reach it. */
function padded(model: Model, rows: readonly TargetRow[]): TargetRow[] {
  const width = Math.max(...rows.map((row) => row.ids.length));
  return rows.map((row) => ({ ...row, ids: [...row.ids, ...Array(width - row.ids.length).fill(model.sinkId)] }));
}

async function hiddenBelow(
  model: Model,
  rows: readonly TargetRow[],
  { layout, from, deltas }: { layout: Layout; from: number; deltas: Deltas | undefined },
): Promise<Tensor> {
  const embedded = embed(
    model,
    rows.flatMap((row) => row.ids),
  );
  try {
    return (await forward(model, embedded, layout, { to: from, ...(deltas && { deltas }) })).hidden;
  } finally {
    embedded.dispose();
  }
}

function addAt(model: Model, hidden: Tensor, positions: readonly number[], delta: Float64Array): Tensor {
  const values = new Float32Array(hidden.size);
  for (const position of positions) values.set(delta, position * delta.length);
  return scoped(model.engine.tf, () =>
    model.engine.tf.add(hidden, model.engine.tf.tensor2d(values, hidden.shape as never)),
  );
}

/** Losses from the logits of all positions, and their gradient with respect to all hidden states. */
async function losses(
  model: Model,
  hidden: Tensor,
  rows: readonly TargetRow[],
  layout: Layout,
  kept: readonly Float32Array[],
  klWeight: number,
): Promise<{ nll: number; kl: number; known: boolean; kept: Float32Array[]; gradient: Tensor }> {
  const { tf } = model.engine;
  const watched = rows.flatMap((row, r) =>
    row.watched.map((w) => ({ ...w, bare: row.bare, at: layout.starts[r] + row.lookup + w.offset })),
  );
  const steps = scoped(tf, () => {
    const { scaled, trace } = finalNorm(model, hidden);
    const scores = unembed(model, scaled);
    return { trace, scores, logProbabilities: tf.logSoftmax(scores) as Tensor };
  });
  const vocabulary = model.config.vocabularySize;
  const slopes = new Float32Array(layout.tokens * vocabulary);
  const bases: Float32Array[] = [];
  let [nll, kl, known] = [0, 0, true];
  for (const { token, weight, bare, at } of watched) {
    const row = pickRows(model, steps.logProbabilities, [at]);
    const found = (await row.data()) as Float32Array;
    row.dispose();
    const slope = slopes.subarray(at * vocabulary, (at + 1) * vocabulary);
    if (token === null) {
      const base = kept[bases.length] ?? found;
      bases.push(base);
      let sum = 0;
      for (let i = 0; i < vocabulary; i++) {
        const share = Math.exp(base[i]);
        sum += share * (base[i] - found[i]);
        slope[i] += klWeight * (Math.exp(found[i]) - share);
      }
      kl += Math.max(0, sum);
    } else {
      nll -= weight * found[token];
      for (let i = 0; i < vocabulary; i++) slope[i] += weight * Math.exp(found[i]);
      slope[token] -= weight;
      if (bare && found.some((value) => value > found[token])) known = false;
    }
  }
  const gradient = scoped(tf, () => {
    const toScores: Tensor = tf.tensor2d(slopes, [layout.tokens, vocabulary]);
    return finalNormBackward(model, unembedBackward(model, toScores, steps.scores), steps.trace);
  });
  free(tf, steps);
  return { nll, kl, known, kept: bases, gradient };
}
