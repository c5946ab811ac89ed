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
  scoped,
  type Tensor,
} from '@errata/model';
import type { TargetRow } from './target-rows.js';

/** Keys and values of what rows begin with in common, in every layer. */
export interface SharedPrefixes {
  /** Tokens of each row that its context's rows all begin with; at least one before the lookup position is the row's own. */
  readonly shared: readonly number[];
  /** The most of them: columns of `keyValues`. */
  readonly width: number;
  /** By layer, for every row; empty where nothing is shared. */
  readonly keyValues: readonly KeyValues[];
  readonly dispose: () => void;
}

type PrefixRow = Pick<TargetRow, 'context' | 'ids' | 'lookup'>;

/** Runs the common beginnings, one for each context, through the model. */
export async function sharePrefixes(
  model: Model,
  rows: readonly PrefixRow[],
  options: { deltas?: Deltas; pause?: Pause },
): Promise<SharedPrefixes> {
  const { tf } = model.engine;
  const lengths = lengthsByContext(rows);
  const shared = rows.map((row) => lengths.get(row.context)?.length ?? 0);
  const width = Math.max(...shared);
  if (width === 0) return { shared, width, keyValues: [], dispose: () => undefined };

  const contexts = [...lengths].filter(([, { length }]) => length > 0);
  const layout = createLayout(
    tf,
    model.config,
    contexts.map(([, { length }]) => ({ first: 0, count: length })),
  );
  const embedded = embed(
    model,
    contexts.flatMap(([, { ids, length }]) => ids.slice(0, length)),
  );
  // Rows that share nothing point anywhere: they see none of these columns.
  const places = rows.map((row) =>
    Math.max(
      0,
      contexts.findIndex(([context]) => context === row.context),
    ),
  );
  try {
    const found = await keyValuesOf(model, embedded, layout, { ...options, from: 0 });
    const spread = (x: Tensor): Tensor => tf.gather(x, tf.tensor1d(places, 'int32'));
    const keyValues = found.map(({ keys, values }) =>
      scoped(tf, () => ({ keys: spread(keys), values: spread(values) })),
    );
    free(tf, found);
    return { shared, width, keyValues, dispose: () => free(tf, keyValues) };
  } finally {
    layout.dispose();
    embedded.dispose();
  }
}

/** Keys and values of all columns, past and new, in every layer from `from`; nothing of the top layer but those. */
export async function keyValuesOf(
  model: Model,
  hidden: Tensor,
  layout: Layout,
  options: { from: number; past?: readonly KeyValues[]; deltas?: Deltas; pause?: Pause },
): Promise<KeyValues[]> {
  const { tf } = model.engine;
  const top = model.config.layers - 1;
  const run = await forward(model, hidden, layout, { ...options, to: top, keepKeyValues: true });
  const past = options.past?.[top - options.from];
  const last = scoped(tf, () => keysAndValues(model, model.weights.layers[top], run.hidden, layout, past));
  run.hidden.dispose();
  return [...run.keyValues, last];
}

/** Tokens of each row that all rows of its context begin with, one before its lookup position at most. */
export function sharedLengths(rows: readonly PrefixRow[]): number[] {
  const lengths = lengthsByContext(rows);
  return rows.map((row) => lengths.get(row.context)?.length ?? 0);
}

function lengthsByContext(rows: readonly PrefixRow[]): Map<number, { ids: readonly number[]; length: number }> {
  const lengths = new Map<number, { ids: readonly number[]; length: number }>();
  for (const { context, ids, lookup } of rows) {
    const known = lengths.get(context) ?? { ids, length: ids.length };
    const length = Math.min(commonLength(known.ids, ids, known.length), lookup - 1);
    lengths.set(context, { ids: known.ids, length });
  }
  return lengths;
}

function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0;
  while (length < most && length < b.length && a[length] === b[length]) length++;
  return length;
}
