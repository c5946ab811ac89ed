import type { AttentionKind, ModelConfig } from './config.js';
import { ModelError } from './errors.js';
import { type AttentionView, createViews } from './layout-views.js';
import { free } from './memory.js';
import type { Tensor, Tf } from './types.js';

export type { AttentionView } from './layout-views.js';

/** New tokens of one row: their count, and the position of the first (0 is the sink). */
export interface Span {
  readonly first: number;
  readonly count: number;
}

/**
 * Columns of keys and values that lie before the new tokens, and which of them are a row's own: those it may see, its
 * tokens up to the first new one in their order.
 */
export interface PastColumns {
  readonly width: number;
  readonly visible: (row: number, column: number) => boolean;
}

/**
 * How the tokens of a batch lie in memory. Everything but attention works on packed tokens, [tokens, …] row after row,
 * without padding; attention gathers heads from them into padded rows and back by the index tensors kept here.
 *
 * Legend: `rows` prompts, `width` most new tokens of a row, `past` columns before them, `groups` key/value heads,
 * `slots` = heads + 2 · groups (queries, keys and values of a token, one head each).
 */
export interface Layout {
  readonly rows: number;
  readonly width: number;
  readonly past: number;
  readonly tokens: number;
  readonly spans: readonly Span[];
  /** Packed index of the first token of each row. */
  readonly starts: readonly number[];
  readonly queryIndex: Tensor;
  readonly keyIndex: Tensor;
  readonly valueIndex: Tensor;
  /** Packed attention output from padded rows. */
  readonly packIndex: Tensor;
  /** Padded rows from packed attention output; the row after the last is zero. For the backward pass. */
  readonly padIndex: () => Tensor;
  /** Packed slots from the padded gradients of queries, keys and values, one after the other. For the backward pass. */
  readonly slotIndex: () => Tensor;
  /** Position of each packed token. */
  readonly positionIndex: () => Tensor;
  /** First packed token and count of each row: [rows, 2]. */
  readonly spanIndex: () => Tensor;
  /** What layers of a kind see. @throws Error where the model has no such layer */
  readonly view: (kind: AttentionKind) => AttentionView;
  readonly dispose: () => void;
}

/** Packed indices of the tokens of a row, in order. */
export function rowTokens({ starts, spans }: Pick<Layout, 'starts' | 'spans'>, row: number): number[] {
  return Array.from({ length: spans[row].count }, (_, i) => starts[row] + i);
}

/**
 * Builds the layout of a batch. The caller disposes it.
 * @throws ModelError PROMPT_TOO_LONG where the model has learned no such positions
 */
export function createLayout(
  tf: Tf,
  config: ModelConfig,
  spans: readonly Span[],
  pastColumns: PastColumns = { width: 0, visible: () => false },
): Layout {
  const { heads, keyValueHeads: groups, contextLength } = config;
  const end = Math.max(...spans.map(({ first, count }) => first + count));
  if (config.learnedPositions && end > contextLength)
    throw new ModelError('PROMPT_TOO_LONG', `${end} tokens do not fit the ${contextLength} positions of the model`);
  const share = heads / groups;
  const slots = heads + 2 * groups;
  const rows = spans.length;
  const width = Math.max(...spans.map((span) => span.count));
  const past = pastColumns.width;
  const starts: number[] = [];
  let tokens = 0;
  for (const span of spans) {
    starts.push(tokens);
    tokens += span.count;
  }

  const queryIndex = new Int32Array(rows * heads * width);
  const keyIndex = new Int32Array(rows * groups * width);
  const valueIndex = new Int32Array(rows * groups * width);
  const packIndex = new Int32Array(tokens * heads);
  const padIndex = new Int32Array(rows * heads * width).fill(tokens * heads);
  const slotIndex = new Int32Array(tokens * slots);
  const positions = new Int32Array(tokens);
  for (let row = 0; row < rows; row++) {
    const { first, count } = spans[row];
    for (let column = 0; column < width; column++) {
      const real = column < count;
      const token = starts[row] + Math.min(column, count - 1);
      for (let head = 0; head < heads; head++) {
        const padded = (row * heads + head) * width + column;
        queryIndex[padded] = token * slots + head;
        if (!real) continue;
        packIndex[token * heads + head] = padded;
        padIndex[padded] = token * heads + head;
        slotIndex[token * slots + head] = padded;
      }
      for (let group = 0; group < groups; group++) {
        const padded = (row * groups + group) * width + column;
        keyIndex[padded] = token * slots + heads + group;
        valueIndex[padded] = token * slots + heads + groups + group;
        if (!real) continue;
        slotIndex[token * slots + heads + group] = rows * heads * width + padded;
        slotIndex[token * slots + heads + groups + group] = rows * (heads + groups) * width + padded;
      }
      if (real) positions[token] = first + column;
    }
  }

  const lazy = new Map<Int32Array, Tensor>();
  const index = (values: Int32Array, shape: number[]): Tensor => tf.tensor(values, shape, 'int32');
  const onDemand =
    (values: Int32Array, shape: number[]): (() => Tensor) =>
    () => {
      let tensor = lazy.get(values);
      if (!tensor) {
        tensor = tf.keep(index(values, shape));
        lazy.set(values, tensor);
      }
      return tensor;
    };
  const views = createViews(tf, config, { rows, width, spans, past: pastColumns, positions });
  const tensors = {
    queryIndex: index(queryIndex, [rows, groups, share * width]),
    keyIndex: index(keyIndex, [rows, groups, width]),
    valueIndex: index(valueIndex, [rows, groups, width]),
    packIndex: index(packIndex, [tokens * heads]),
  };
  return {
    rows,
    width,
    past,
    tokens,
    spans,
    starts,
    ...tensors,
    padIndex: onDemand(padIndex, [rows, groups, share * width]),
    slotIndex: onDemand(slotIndex, [tokens * slots]),
    positionIndex: onDemand(positions, [tokens]),
    spanIndex: onDemand(Int32Array.from(spans.flatMap(({ count }, row) => [starts[row], count])), [rows, 2]),
    view: (kind) => {
      const view = views.get(kind);
      if (!view) throw new Error(`${config.name} has no layer of ${kind} attention`);
      return view;
    },
    dispose: () => free(tf, tensors, [...views.values()], [...lazy.values()]),
  };
}
