import { free, type KeyValues, type Model, scoped, type Tensor } from '@errata/model';
import { disposeSuffixes, type Suffixes, suffixLayout } from './suffixes.js';

/** Suffixes of several searches as those of one, row after row. Frees what they came from. */
export function mergeSuffixes(model: Model, parts: readonly Suffixes[]): Suffixes {
  if (parts.length === 1) return parts[0];
  const { tf } = model.engine;
  const sharedWidth = Math.max(...parts.map((part) => part.sharedWidth));
  const ownWidth = Math.max(...parts.map((part) => part.layout.past - part.sharedWidth));
  const rows = parts.flatMap((part) => part.rows);
  const shared = parts.flatMap((part) => part.shared);
  const past = parts[0].past.map((_, layer) => {
    const column = (of: keyof KeyValues): Tensor =>
      scoped(tf, () =>
        tf.concat(
          parts.map((part) => widened(model, part.past[layer][of], part.sharedWidth, sharedWidth, ownWidth)),
          0,
        ),
      );
    const merged = { keys: column('keys'), values: column('values') };
    for (const part of parts) free(tf, part.past[layer]);
    return merged;
  });
  const hidden: Tensor = tf.concat(
    parts.map((part) => part.hidden),
    0,
  );
  for (const part of parts) disposeSuffixes(model, { ...part, past: [] });
  const joined = { rows, shared, sharedWidth };
  return { ...joined, layout: suffixLayout(model, joined), hidden, past };
}

/** Columns [shared | own] with zeros behind each part, up to the widths of the whole. */
function widened(model: Model, x: Tensor, shared: number, sharedWidth: number, ownWidth: number): Tensor {
  const { tf } = model.engine;
  const own = (x.shape[2] as number) - shared;
  if (shared === sharedWidth && own === ownWidth) return x;
  return tf.concat([part(model, x, 0, shared, sharedWidth), part(model, x, shared, own, ownWidth)], 2);
}

/** Some columns of x, and zeros behind them up to a width. */
function part(model: Model, x: Tensor, from: number, columns: number, width: number): Tensor {
  const { tf } = model.engine;
  const [rows, groups, , size] = x.shape as [number, number, number, number];
  const rest = width - columns;
  const zeros = (count: number): Tensor => tf.zeros([rows, groups, count, size]);
  if (columns === 0) return zeros(width);
  const own: Tensor = tf.slice(x, [0, 0, from, 0], [-1, -1, columns, -1]);
  return rest === 0 ? own : tf.concat([own, zeros(rest)], 2);
}
