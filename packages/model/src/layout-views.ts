import type { AttentionKind, ModelConfig } from './config.js';
import type { PastColumns, Span } from './layout.js';
import type { Rotary } from './rotary.js';
import type { Tensor, Tf } from './types.js';

/** The part of a layout that depends on the kind of layer. */
export interface AttentionView {
  /** Rotary factors by slot, [tokens · slots, 2, head size / 2]; null where the layers have no rotary embedding. */
  readonly rotation: { readonly cosines: Tensor; readonly sines: Tensor } | null;
  /** 0 or −10³⁰, added to the scores: [rows or 1, 1, heads/groups · width, past + width] */
  readonly mask: Tensor;
}

/** What the views of a layout are made from; see `Layout`. */
interface Placing {
  readonly rows: number;
  readonly width: number;
  readonly spans: readonly Span[];
  readonly past: PastColumns;
  /** Position of each packed token. */
  readonly positions: Int32Array;
}

/** The views of all kinds of layers that the model has. */
export function createViews(tf: Tf, config: ModelConfig, placing: Placing): Map<AttentionKind, AttentionView> {
  const end = Math.max(...placing.spans.map((span) => span.first + span.count));
  const views = new Map<AttentionKind, AttentionView>();
  for (const kind of new Set(config.attention)) {
    const rotary = config.rotary[kind];
    const window = kind === 'sliding' && config.window !== null && config.window < end ? config.window : null;
    views.set(kind, {
      rotation: rotary && rotationOf(tf, config, rotary, placing.positions),
      mask: maskOf(tf, config, placing, window),
    });
  }
  return views;
}

function maskOf(tf: Tf, config: ModelConfig, { rows, width, past }: Placing, window: number | null): Tensor {
  const share = config.heads / config.keyValueHeads;
  const columns = past.width + width;
  const maskRows = past.width === 0 ? 1 : rows;
  const mask = new Float32Array(maskRows * share * width * columns).fill(-1e30);
  for (let row = 0; row < maskRows; row++) {
    const seen: number[] = [];
    for (let column = 0; column < past.width; column++) if (past.visible(row, column)) seen.push(column);
    for (let query = 0; query < share * width; query++) {
      const at = (row * share * width + query) * columns;
      const column = query % width;
      // Tokens further back than the window are those before this one, counted over past and new columns.
      const oldest = window === null ? 0 : Math.max(0, seen.length + column + 1 - window);
      for (let i = oldest; i < seen.length; i++) mask[at + seen[i]] = 0;
      mask.fill(0, at + past.width + Math.max(0, oldest - seen.length), at + past.width + column + 1);
    }
  }
  return tf.tensor(mask, [maskRows, 1, share * width, columns]);
}

/** Rotary factors of all slots of all tokens: cos and ∓sin for queries and keys, 1 and 0 for values. */
function rotationOf(
  tf: Tf,
  config: ModelConfig,
  rotary: Rotary,
  positions: Int32Array,
): { cosines: Tensor; sines: Tensor } {
  const { heads, keyValueHeads: groups, headSize } = config;
  const slots = heads + 2 * groups;
  const cosines = new Float32Array(positions.length * slots * headSize);
  const sines = new Float32Array(positions.length * slots * headSize);
  const tables = new Map<number, RotationTable>();
  for (let token = 0; token < positions.length; token++) {
    const position = positions[token];
    let table = tables.get(position);
    if (!table) {
      table = rotationTable(config, rotary, position);
      tables.set(position, table);
    }
    cosines.set(table.cosines, token * slots * headSize);
    sines.set(table.sines, token * slots * headSize);
  }
  const shape = [positions.length * slots, 2, headSize / 2];
  return { cosines: tf.tensor(cosines, shape), sines: tf.tensor(sines, shape) };
}

interface RotationTable {
  readonly cosines: Float32Array;
  readonly sines: Float32Array;
}

/** The dimensions that are not rotated lie behind the rotated ones of each half of a head. */
function rotationTable(config: ModelConfig, rotary: Rotary, position: number): RotationTable {
  const { heads, keyValueHeads: groups, headSize } = config;
  const slots = heads + 2 * groups;
  const half = headSize / 2;
  const cosines = new Float32Array(slots * headSize).fill(1);
  const sines = new Float32Array(slots * headSize);
  for (let i = 0; i < rotary.frequencies.length; i++) {
    const angle = position * rotary.frequencies[i];
    const cosine = Math.cos(angle) * rotary.magnitude;
    const sine = Math.sin(angle) * rotary.magnitude;
    for (let slot = 0; slot < heads + groups; slot++) {
      const at = slot * headSize + i;
      cosines[at] = cosines[at + half] = cosine;
      sines[at] = -sine;
      sines[at + half] = sine;
    }
  }
  return { cosines, sines };
}
