import {
  createLayout,
  type Deltas,
  embed,
  forward,
  free,
  type KeyValues,
  type Layout,
  type Model,
  type PastColumns,
  type Pause,
  pickRows,
  rowTokens,
  scoped,
  type Tensor,
} from '@errata/model';
import { keyValuesOf, type SharedPrefixes, sharePrefixes } from './shared-prefixes.js';
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
  /** By layer above the last edited one: the columns of shared beginnings, then those of the rows' own. */
  readonly past: readonly KeyValues[];
  /** Tokens of each row that lie in the columns of shared beginnings. */
  readonly shared: readonly number[];
  readonly sharedWidth: number;
}

interface RunOptions {
  readonly deltas?: Deltas;
  readonly pause?: Pause;
}

/**
 * Runs the layers up to `lastLayer` on all tokens and the layers above on the tokens before the lookup positions; what
 * rows of one context begin with is run once for all of them.
 */
export async function prepareSuffixes(
  model: Model,
  rows: readonly TargetRow[],
  lastLayer: number,
  options: RunOptions,
): Promise<Suffixes> {
  const { tf } = model.engine;
  const prefixes = await sharePrefixes(model, rows, options);
  const { shared, width: sharedWidth } = prefixes;
  const own = createLayout(
    tf,
    model.config,
    rows.map((row, r) => ({ first: shared[r], count: row.ids.length - shared[r] })),
    sharedColumns(prefixes),
  );
  const embedded = embed(
    model,
    rows.flatMap((row, r) => row.ids.slice(shared[r])),
  );
  let below: Tensor | undefined;
  try {
    ({ hidden: below } = await forward(model, embedded, own, {
      ...options,
      to: lastLayer + 1,
      ...past(prefixes.keyValues.slice(0, lastLayer + 1)),
    }));
    const tokensOf = (from: (row: TargetRow, r: number) => number, to: (row: TargetRow) => number): number[] =>
      rows.flatMap((row, r) => range(own.starts[r] + from(row, r) - shared[r], own.starts[r] + to(row) - shared[r]));
    const before = pickRows(
      model,
      below,
      tokensOf(
        (_, r) => shared[r],
        (row) => row.lookup,
      ),
    );
    const cache = await prefixCache(model, rows, before, lastLayer + 1, prefixes, options);
    const hidden = pickRows(
      model,
      below,
      tokensOf(
        (row) => row.lookup,
        (row) => row.ids.length,
      ),
    );
    const parts = { rows, shared, sharedWidth };
    return { ...parts, layout: suffixLayout(model, parts), hidden, past: cache };
  } finally {
    own.dispose();
    prefixes.dispose();
    embedded.dispose();
    below?.dispose();
  }
}

/** Keys and values of all tokens before the lookup positions in every layer from `from`. Frees `hidden`. */
async function prefixCache(
  model: Model,
  rows: readonly TargetRow[],
  hidden: Tensor,
  from: number,
  prefixes: SharedPrefixes,
  options: RunOptions,
): Promise<KeyValues[]> {
  if (from >= model.config.layers) {
    hidden.dispose();
    return [];
  }
  const { shared, keyValues } = prefixes;
  const layout = createLayout(
    model.engine.tf,
    model.config,
    rows.map((row, r) => ({ first: shared[r], count: row.lookup - shared[r] })),
    sharedColumns(prefixes),
  );
  try {
    return await keyValuesOf(model, hidden, layout, { ...options, from, ...past(keyValues.slice(from)) });
  } finally {
    layout.dispose();
    hidden.dispose();
  }
}

/** The rows that `keep` names, in order; frees what they came from. */
export function narrowSuffixes(model: Model, from: Suffixes, keep: readonly number[]): Suffixes {
  const { tf } = model.engine;
  const hidden = pickRows(
    model,
    from.hidden,
    keep.flatMap((r) => rowTokens(from.layout, r)),
  );
  const parts = {
    rows: keep.map((r) => from.rows[r]),
    shared: keep.map((r) => from.shared[r]),
    sharedWidth: from.sharedWidth,
  };
  const { width } = pastColumns(parts);
  const narrow = (x: Tensor): Tensor =>
    scoped(tf, () => tf.gather(tf.slice(x, [0, 0, 0, 0], [-1, -1, width, -1]), tf.tensor1d([...keep], 'int32')));
  const past = from.past.map(({ keys, values }) => ({ keys: narrow(keys), values: narrow(values) }));
  disposeSuffixes(model, from);
  return { ...parts, layout: suffixLayout(model, parts), hidden, past };
}

export function disposeSuffixes(model: Model, suffixes: Suffixes): void {
  suffixes.layout.dispose();
  free(model.engine.tf, suffixes.hidden, suffixes.past);
}

type RowParts = Pick<Suffixes, 'rows' | 'shared' | 'sharedWidth'>;

/** The layout of the tokens from the lookup positions on. */
export function suffixLayout(model: Model, parts: RowParts): Layout {
  return createLayout(
    model.engine.tf,
    model.config,
    parts.rows.map((row) => ({ first: row.lookup, count: row.ids.length - row.lookup })),
    pastColumns(parts),
  );
}

function pastColumns({ rows, shared, sharedWidth }: RowParts): PastColumns {
  return {
    width: sharedWidth + Math.max(...rows.map((row, r) => row.lookup - shared[r])),
    visible: (row, column) =>
      column < sharedWidth ? column < shared[row] : column - sharedWidth < rows[row].lookup - shared[row],
  };
}

function sharedColumns({ shared, width }: SharedPrefixes): PastColumns {
  return { width, visible: (row, column) => column < shared[row] };
}

function past(keyValues: readonly KeyValues[]): { past?: readonly KeyValues[] } {
  return keyValues.length > 0 ? { past: keyValues } : {};
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
