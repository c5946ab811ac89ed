import type { ModelConfig } from './config.js';
import type { Tensor, Tf } from './types.js';

/** New tokens of one row: their count, and the position of the first (0 is the sink). */
export interface Span {
  readonly first: number;
  readonly count: number;
}

/** Columns of keys and values that lie before the new tokens, and which of them a row may see. */
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
  readonly cosines: Tensor;
  readonly sines: Tensor;
  readonly queryIndex: Tensor;
  readonly keyIndex: Tensor;
  readonly valueIndex: Tensor;
  /** 0 or −10³⁰, added to the scores: [rows or 1, 1, heads/groups · width, past + width] */
  readonly mask: Tensor;
  /** Packed attention output from padded rows. */
  readonly packIndex: Tensor;
  /** Padded rows from packed attention output; the row after the last is zero. For the backward pass. */
  readonly padIndex: () => Tensor;
  /** Packed slots from the padded gradients of queries, keys and values, one after the other. For the backward pass. */
  readonly slotIndex: () => Tensor;
  readonly dispose: () => void;
}

/** Builds the layout of a batch. The caller disposes it. */
export function createLayout(
  tf: Tf,
  config: ModelConfig,
  spans: readonly Span[],
  pastColumns: PastColumns = { width: 0, visible: () => false },
): Layout {
  const { heads, keyValueHeads: groups, headSize } = config;
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

  const cosines = new Float32Array(tokens * slots * headSize);
  const sines = new Float32Array(tokens * slots * headSize);
  const queryIndex = new Int32Array(rows * heads * width);
  const keyIndex = new Int32Array(rows * groups * width);
  const valueIndex = new Int32Array(rows * groups * width);
  const packIndex = new Int32Array(tokens * heads);
  const padIndex = new Int32Array(rows * heads * width).fill(tokens * heads);
  const slotIndex = new Int32Array(tokens * slots);
  const rope = new Map<number, { cosines: Float32Array; sines: Float32Array }>();
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
      if (!real) continue;
      const position = first + column;
      let tables = rope.get(position);
      if (!tables) {
        tables = ropeTables(config, position);
        rope.set(position, tables);
      }
      cosines.set(tables.cosines, token * slots * headSize);
      sines.set(tables.sines, token * slots * headSize);
    }
  }

  const maskRows = past === 0 ? 1 : rows;
  const mask = new Float32Array(maskRows * share * width * (past + width));
  let at = 0;
  for (let row = 0; row < maskRows; row++)
    for (let query = 0; query < share * width; query++) {
      for (let column = 0; column < past; column++) mask[at++] = pastColumns.visible(row, column) ? 0 : -1e30;
      for (let column = 0; column < width; column++) mask[at++] = column <= query % width ? 0 : -1e30;
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
  const tensors = {
    cosines: tf.tensor(cosines, [tokens * slots, 2, headSize / 2]) as Tensor,
    sines: tf.tensor(sines, [tokens * slots, 2, headSize / 2]) as Tensor,
    queryIndex: index(queryIndex, [rows, groups, share * width]),
    keyIndex: index(keyIndex, [rows, groups, width]),
    valueIndex: index(valueIndex, [rows, groups, width]),
    mask: tf.tensor(mask, [maskRows, 1, share * width, past + width]) as Tensor,
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
    dispose: () => tf.dispose([...Object.values(tensors), ...lazy.values()]),
  };
}

/** Rotary factors of all slots of a token: cos and ∓sin for queries and keys, 1 and 0 for values. */
function ropeTables(config: ModelConfig, position: number): { cosines: Float32Array; sines: Float32Array } {
  const { heads, keyValueHeads: groups, headSize, ropeBase } = config;
  const slots = heads + 2 * groups;
  const half = headSize / 2;
  const cosines = new Float32Array(slots * headSize).fill(1);
  const sines = new Float32Array(slots * headSize);
  for (let i = 0; i < half; i++) {
    const angle = position / ropeBase ** ((2 * i) / headSize);
    for (let slot = 0; slot < heads + groups; slot++) {
      const at = slot * headSize + i;
      cosines[at] = cosines[at + half] = Math.cos(angle);
      sines[at] = -Math.sin(angle);
      sines[at + half] = Math.sin(angle);
    }
  }
  return { cosines, sines };
}
