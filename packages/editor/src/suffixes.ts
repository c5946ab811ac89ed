import {
  createLayout,
  type Deltas,
  embed,
  forward,
  free,
  type KeyValues,
  keysAndValues,
  type Layout,
  type Model,
  type Pause,
  pickRows,
  scoped,
  type Tensor,
} from '@errata/model';
import type { TargetRow } from './target-rows.js';

/**
 * What the target search repeats: the tokens from each row's lookup position on. Everything before that position
 * cannot depend on what is added there, so its keys and values are computed once and kept.
 */
export interface Suffixes {
  readonly rows: readonly TargetRow[];
  readonly layout: Layout;
  /** Hidden states after the last edited layer, [tokens, hidden size]. */
  readonly hidden: Tensor;
  /** By layer above the last edited one. */
  readonly past: readonly KeyValues[];
}

/** Runs the layers up to `lastLayer` on all tokens and the layers above on the tokens before the lookup positions. */
export async function prepareSuffixes(
  model: Model,
  rows: readonly TargetRow[],
  lastLayer: number,
  options: { deltas?: Deltas; pause?: Pause },
): Promise<Suffixes> {
  const { tf } = model.engine;
  const whole = createLayout(
    tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.ids.length })),
  );
  const embedded = embed(
    model,
    rows.flatMap((row) => row.ids),
  );
  let below: Tensor | undefined;
  try {
    ({ hidden: below } = await forward(model, embedded, whole, { ...options, to: lastLayer + 1 }));
    const tokensOf = (from: (row: TargetRow) => number, to: (row: TargetRow) => number): number[] =>
      rows.flatMap((row, r) => range(whole.starts[r] + from(row), whole.starts[r] + to(row)));
    const before = pickRows(
      model,
      below,
      tokensOf(
        () => 0,
        (row) => row.lookup,
      ),
    );
    const past = await prefixCache(model, rows, before, lastLayer + 1, options);
    const hidden = pickRows(
      model,
      below,
      tokensOf(
        (row) => row.lookup,
        (row) => row.ids.length,
      ),
    );
    return { rows, layout: suffixLayout(model, rows), hidden, past };
  } finally {
    whole.dispose();
    embedded.dispose();
    below?.dispose();
  }
}

/** Keys and values of the tokens before the lookup positions in every layer from `from`. Frees `hidden`. */
async function prefixCache(
  model: Model,
  rows: readonly TargetRow[],
  hidden: Tensor,
  from: number,
  options: { deltas?: Deltas; pause?: Pause },
): Promise<KeyValues[]> {
  const { tf } = model.engine;
  if (from >= model.config.layers) {
    hidden.dispose();
    return [];
  }
  const last = model.config.layers - 1;
  const layout = createLayout(
    tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.lookup })),
  );
  try {
    const run = await forward(model, hidden, layout, { ...options, from, to: last, keepKeyValues: true });
    const top = scoped(tf, () => keysAndValues(model, model.weights.layers[last], run.hidden, layout));
    run.hidden.dispose();
    return [...run.keyValues, top];
  } finally {
    layout.dispose();
    hidden.dispose();
  }
}

/** The rows that `keep` names, in order; frees what they came from. */
export function narrowSuffixes(model: Model, from: Suffixes, keep: readonly number[]): Suffixes {
  const { tf } = model.engine;
  const rows = keep.map((r) => from.rows[r]);
  const hidden = pickRows(
    model,
    from.hidden,
    keep.flatMap((r) => range(from.layout.starts[r], from.layout.starts[r] + from.layout.spans[r].count)),
  );
  const width = Math.max(...rows.map((row) => row.lookup));
  const narrow = (x: Tensor): Tensor =>
    scoped(tf, () => tf.gather(tf.slice(x, [0, 0, 0, 0], [-1, -1, width, -1]), tf.tensor1d([...keep], 'int32')));
  const past = from.past.map(({ keys, values }) => ({ keys: narrow(keys), values: narrow(values) }));
  disposeSuffixes(model, from);
  return { rows, layout: suffixLayout(model, rows), hidden, past };
}

export function disposeSuffixes(model: Model, suffixes: Suffixes): void {
  suffixes.layout.dispose();
  free(model.engine.tf, suffixes.hidden, suffixes.past);
}

function suffixLayout(model: Model, rows: readonly TargetRow[]): Layout {
  return createLayout(
    model.engine.tf,
    model.config,
    rows.map((row) => ({ first: row.lookup, count: row.ids.length - row.lookup })),
    { width: Math.max(...rows.map((row) => row.lookup)), visible: (row, column) => column < rows[row].lookup },
  );
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
