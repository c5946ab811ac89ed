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
  tracePart,
} from '@errata/model';
import { createObjective, evaluateObjective, type Objective } from './objective.js';
import { SearchState } from './search-state.js';
import { disposeSuffixes, narrowSuffixes, type Suffixes } from './suffixes.js';

/** Everything the loop carries. `objective` covers the watched positions of all rows of `suffixes`, in order. */
export interface Search {
  /** By the number that rows name their edit with. */
  readonly states: readonly SearchState[];
  suffixes: Suffixes;
  objective: Objective | null;
}

export interface LoopOptions {
  /** Leave finished edits in the batch. */
  readonly keepFinished?: boolean;
  /** Changes of layers above the last edited one. */
  readonly deltas?: Deltas;
  readonly pause?: Pause;
}

/** Begins the search of edits whose rows have been prepared. @param configs of each edit, in the order of their rows */
export async function startSearch(model: Model, suffixes: Suffixes, configs: readonly EditorConfig[]): Promise<Search> {
  const bare = suffixes.rows.flatMap((row, r) => (row.bare ? [suffixes.layout.starts[r]] : []));
  const initial = pickRows(model, suffixes.hidden, bare);
  const values = (await initial.data()) as Float32Array;
  initial.dispose();
  const size = model.config.hiddenSize;
  const states = configs.map((config, e) => new SearchState(values.slice(e * size, (e + 1) * size), config));
  return { states, suffixes, objective: null };
}

export function disposeSearch(model: Model, search: Search): void {
  disposeSuffixes(model, search.suffixes);
  search.objective?.anchors.dispose();
}

/**
 * Measures all edits and moves those that are not over.
 * @param from the layer above the last edited one
 * @returns whether any is left to be measured again
 */
export async function searchStep(model: Model, search: Search, from: number, options: LoopOptions): Promise<boolean> {
  const { tf } = model.engine;
  const { suffixes } = search;
  const { layout, rows } = suffixes;
  const watched = rows.flatMap((row, r) => row.watched.map((w) => ({ ...w, row: r, edit: row.edit })));
  const leaving = watched.map((w) => layout.starts[w.row] + w.offset);
  const moved = addDeltas(model, search);
  let run: TracedRun;
  try {
    run = await forwardTraced(model, moved, layout, { from, past: suffixes.past, leaving, ...options });
  } finally {
    moved.dispose();
  }
  const { hidden } = run;
  const owned: Tensor[] = [];
  try {
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
    for (const [edit, { nll, kl }] of lossesByEdit(watched, losses)) {
      const state = search.states[edit];
      if (!state.over) state.measure(nll, kl);
    }
    if (search.states.every((state) => state.over)) return false;

    const slopes = await slopesOfDeltas(model, search, { run, gradient }, { from, ...options });
    for (const [edit, slope] of slopes) {
      const state = search.states[edit];
      if (!state.over) state.advance(slope);
    }
    return search.states.some((state) => !state.over);
  } finally {
    tf.dispose(owned);
    disposeTrace(model, run);
  }
}

/** By edit that is not over: the gradient of δ. */
async function slopesOfDeltas(
  model: Model,
  search: Search,
  { run, gradient }: { run: TracedRun; gradient: Tensor },
  { keepFinished, ...options }: LoopOptions & { readonly from: number },
): Promise<Map<number, Float64Array>> {
  const { layout, rows } = search.suffixes;
  const kept = keepFinished ? null : unfinished(search);
  const part = kept && tracePart(model, run, layout, kept.rows);
  const picked = kept && part ? pickRows(model, gradient, kept.positions) : null;
  try {
    const among = part?.layout ?? layout;
    const toHidden = await backward(model, picked ?? gradient, among, run, { part, ...options });
    const atLookup = pickRows(model, toHidden, among.starts);
    toHidden.dispose();
    const values = (await atLookup.data()) as Float32Array;
    atLookup.dispose();
    const owners = (kept && part ? kept.rows.map((r) => rows[r]) : rows).map((row) => row.edit);
    return sumByEdit(owners, values, model.config.hiddenSize);
  } finally {
    part?.dispose();
    picked?.dispose();
  }
}

/** Rows and watched positions of the edits that are not over; null where none is over. */
function unfinished({ suffixes, states }: Search): { rows: number[]; positions: number[] } | null {
  const found = { rows: [] as number[], positions: [] as number[] };
  let at = 0;
  for (const [r, row] of suffixes.rows.entries()) {
    const over = states[row.edit].over;
    if (!over) found.rows.push(r);
    for (let i = 0; i < row.watched.length; i++, at++) if (!over) found.positions.push(at);
  }
  return found.rows.length === suffixes.rows.length ? null : found;
}

/** Takes the rows of edits that are over out of the batch; one at least must be left. */
export function dropFinished(model: Model, search: Search): void {
  const kept = unfinished(search);
  if (!kept || !search.objective) return;
  const { anchors, offsets } = search.objective;
  search.objective = {
    anchors: pickRows(model, anchors, kept.positions),
    offsets: Float64Array.from(kept.positions, (position) => offsets[position]),
  };
  anchors.dispose();
  search.suffixes = narrowSuffixes(model, search.suffixes, kept.rows);
}

function lossesByEdit(
  watched: readonly { readonly edit: number; readonly token: number | null; readonly weight: number }[],
  losses: Float64Array,
): Map<number, { nll: number; kl: number }> {
  const sums = new Map<number, { nll: number; kl: number }>();
  watched.forEach(({ edit, token, weight }, i) => {
    const sum = sums.get(edit) ?? { nll: 0, kl: 0 };
    if (token === null) sum.kl = Math.max(0, losses[i]);
    else sum.nll += weight * losses[i];
    sums.set(edit, sum);
  });
  return sums;
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

function sumByEdit(owners: readonly number[], values: Float32Array, size: number): Map<number, Float64Array> {
  const sums = new Map<number, Float64Array>();
  owners.forEach((edit, row) => {
    const sum = sums.get(edit) ?? new Float64Array(size);
    for (let i = 0; i < size; i++) sum[i] += values[row * size + i];
    sums.set(edit, sum);
  });
  return sums;
}
