import type { EditorConfig } from '@errata/contracts';
import {
  backward,
  type Deltas,
  disposeTrace,
  forwardTraced,
  type Model,
  type Pause,
  pickRows,
  scoped,
  type Tensor,
  type TracedRun,
} from '@errata/model';
import { checkLayers } from './check-layers.js';
import type { EditText } from './lookup.js';
import { createObjective, evaluateObjective, type Objective } from './objective.js';
import { SearchState, type TargetFigures } from './search-state.js';
import { disposeSuffixes, narrowSuffixes, prepareSuffixes, type Suffixes } from './suffixes.js';
import { targetRows } from './target-rows.js';

/** How far a target search has come. */
export interface TargetProgress {
  readonly step: number;
  readonly steps: number;
  readonly finishedEdits: number;
  readonly meanLoss: number;
}

export interface ResolvedTargets {
  /** z, column-major [hidden size × edits] */
  readonly targets: Float32Array;
  readonly figures: readonly TargetFigures[];
}

export interface ResolveOptions {
  readonly deltas?: Deltas;
  readonly pause?: Pause;
  readonly onProgress?: (progress: TargetProgress) => void;
  /** Keep finished edits in the batch; only tests want that. */
  readonly keepFinished?: boolean;
}

/**
 * Finds for every edit the hidden state z after the last edited layer at the lookup position that makes the model
 * continue with the target (ROME, arXiv 2202.05262, section 3.1, as batched by MEMIT, arXiv 2210.07229). All edits are
 * searched in one loop; only the tokens from the lookup position on are run again in each step, and edits that are
 * done leave the loop. The one-shot resolver takes a single step, against the gradient, its length a share of
 * the hidden state's (after UltraEdit, arXiv 2505.14679), and does not measure where it ends. Deterministic.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 * @throws ErrataError INVALID_REQUEST a layer that the model does not have, a prompt without its subject
 */
export async function resolveTargets(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  options: ResolveOptions = {},
): Promise<ResolvedTargets> {
  checkLayers(model, config);
  const lastLayer = config.layers[config.layers.length - 1];
  const oneShot = config.resolver === 'one-shot';
  const search = await startSearch(model, edits, config, lastLayer, options);
  try {
    for (let step = 0; ; step++) {
      const last = step === config.maxSteps - 1 && !oneShot;
      const gradients = await searchStep(model, search, lastLayer + 1, last, options);
      const finished = search.states.filter((state) => state.done).length;
      options.onProgress?.({
        step: step + 1,
        steps: oneShot ? 1 : config.maxSteps,
        finishedEdits: finished,
        meanLoss: search.states.reduce((sum, state) => sum + state.loss, 0) / edits.length,
      });
      if (!gradients) break;
      for (const [edit, gradient] of gradients) {
        const state = search.states[edit];
        if (state.done) continue;
        if (oneShot) state.leap(gradient);
        else state.step(gradient);
      }
      if (oneShot) break;
      if (!options.keepFinished) dropFinished(model, search);
    }
  } finally {
    disposeSuffixes(model, search.suffixes);
    search.objective?.anchors.dispose();
  }
  const targets = new Float32Array(edits.length * model.config.hiddenSize);
  search.states.forEach((state, edit) => {
    targets.set(state.target(), edit * model.config.hiddenSize);
  });
  return { targets, figures: search.states.map((state) => state.figures()) };
}

/** Everything the loop carries. `objective` covers the watched positions of all rows of `suffixes`, in order. */
interface Search {
  readonly states: readonly SearchState[];
  suffixes: Suffixes;
  objective: Objective | null;
}

async function startSearch(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  lastLayer: number,
  options: ResolveOptions,
): Promise<Search> {
  const rows = targetRows(model, edits, config);
  const suffixes = await prepareSuffixes(model, rows, lastLayer, options);
  const bare = rows.flatMap((row, r) => (row.bare ? [suffixes.layout.starts[r]] : []));
  const initial = pickRows(model, suffixes.hidden, bare);
  const values = (await initial.data()) as Float32Array;
  initial.dispose();
  const size = model.config.hiddenSize;
  const states = edits.map((_, e) => new SearchState(values.slice(e * size, (e + 1) * size), config));
  return { states, suffixes, objective: null };
}

/** Measures all edits; returns the gradient of each edit's δ, or null when the search is over. */
async function searchStep(
  model: Model,
  search: Search,
  from: number,
  last: boolean,
  options: ResolveOptions,
): Promise<Map<number, Float64Array> | null> {
  const { tf } = model.engine;
  const { suffixes } = search;
  const { layout, rows } = suffixes;
  const moved = addDeltas(model, search);
  let run: TracedRun | undefined;
  try {
    run = await forwardTraced(model, moved, layout, { from, past: suffixes.past, ...only(options) });
  } finally {
    // With no layer above the last edited one, what goes in comes out.
    if (run?.hidden !== moved) moved.dispose();
  }
  const owned: Tensor[] = [];
  try {
    const watched = rows.flatMap((row, r) => row.watched.map((w) => ({ ...w, row: r, edit: row.edit })));
    const positions = watched.map((w) => layout.starts[w.row] + w.offset);
    const hidden = pickRows(model, run.hidden, positions);
    owned.push(hidden);
    if (!search.objective) {
      const created = await createObjective(
        model,
        hidden,
        watched.map((w) => w.token),
      );
      search.objective = created.objective;
      search.states.forEach((state, edit) => {
        state.alreadyKnown = watched.every(
          (w, i) => w.edit !== edit || !rows[w.row].bare || w.token === created.likeliest[i],
        );
      });
    }
    const { losses, gradient } = await evaluateObjective(
      model,
      search.objective,
      hidden,
      watched.map((w) => w.weight),
    );
    owned.push(gradient);
    for (const edit of new Set(rows.map((row) => row.edit))) {
      const state = search.states[edit];
      if (state.done) continue;
      let nll = 0;
      let kl = 0;
      watched.forEach((w, i) => {
        if (w.edit !== edit) return;
        if (w.token === null) kl = Math.max(0, losses[i]);
        else nll += w.weight * losses[i];
      });
      state.measure(nll, kl);
    }
    if (last || search.states.every((state) => state.done)) return null;

    const scattered = scatterRows(model, gradient, positions, layout.tokens);
    owned.push(scattered);
    const toHidden = await backward(model, scattered, layout, run, { from, ...only(options) });
    const atLookup = pickRows(model, toHidden, layout.starts);
    if (toHidden !== scattered) toHidden.dispose();
    const values = (await atLookup.data()) as Float32Array;
    atLookup.dispose();
    return sumByEdit(
      rows.map((row) => row.edit),
      values,
      model.config.hiddenSize,
    );
  } finally {
    tf.dispose(owned);
    disposeTrace(model, run);
  }
}

function only({ deltas, pause }: ResolveOptions): { deltas?: Deltas; pause?: Pause } {
  return { ...(deltas ? { deltas } : {}), ...(pause ? { pause } : {}) };
}

/** The suffixes' hidden states with each edit's δ added at its lookup positions. */
function addDeltas(model: Model, { states, suffixes }: Search): Tensor {
  const { tf } = model.engine;
  const size = model.config.hiddenSize;
  // Row 0 is zero and stands for tokens that are not lookup positions.
  const deltas = new Float32Array((states.length + 1) * size);
  states.forEach((state, edit) => {
    deltas.set(state.delta, (edit + 1) * size);
  });
  const index = new Int32Array(suffixes.layout.tokens);
  suffixes.rows.forEach((row, r) => {
    index[suffixes.layout.starts[r]] = row.edit + 1;
  });
  return scoped(tf, (): Tensor => {
    const added = tf.gather(tf.tensor2d(deltas, [states.length + 1, size]), tf.tensor1d(index, 'int32'));
    return tf.add(suffixes.hidden, added);
  });
}

/** [tokens, n] with the given rows at the given positions and zero elsewhere. */
function scatterRows(model: Model, rows: Tensor, positions: readonly number[], tokens: number): Tensor {
  const { tf } = model.engine;
  const index = new Int32Array(tokens);
  positions.forEach((position, i) => {
    index[position] = i + 1;
  });
  return scoped(tf, (): Tensor => {
    const padded = tf.concat([tf.zeros([1, rows.shape[1] as number]), rows], 0);
    return tf.gather(padded, tf.tensor1d(index, 'int32'));
  });
}

function sumByEdit(owners: readonly number[], values: Float32Array, size: number): Map<number, Float64Array> {
  const sums = new Map<number, Float64Array>();
  owners.forEach((edit, row) => {
    const sum = sums.get(edit) ?? new Float64Array(size);
    for (let i = 0; i < size; i++) sum[i] += values[row * size + i];
    sums.set(edit, sum);
  });
  return sums;
}

/** Takes the rows of finished edits out of the batch. */
function dropFinished(model: Model, search: Search): void {
  const { rows } = search.suffixes;
  const keep = rows.flatMap((row, r) => (search.states[row.edit].done ? [] : [r]));
  if (keep.length === rows.length || !search.objective) return;
  const positions: number[] = [];
  let at = 0;
  rows.forEach((row) => {
    for (let i = 0; i < row.watched.length; i++, at++) if (!search.states[row.edit].done) positions.push(at);
  });
  const { anchors, offsets } = search.objective;
  search.objective = {
    anchors: pickRows(model, anchors, positions),
    offsets: Float64Array.from(positions, (position) => offsets[position]),
  };
  anchors.dispose();
  search.suffixes = narrowSuffixes(model, search.suffixes, keep);
}
