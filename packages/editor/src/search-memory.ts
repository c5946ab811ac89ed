import { attendsAtOnce, logitPositions, type Model, type ModelConfig } from '@errata/model';
import type { TargetRow } from './target-rows.js';

/**
 * What a search may hold unless told otherwise: several times what ten edits of usual length take on a small model, and
 * together with SmolLM2's weights below 1.5 GB.
 */
export const defaultSearchBytes = 512 * 2 ** 20;

const bytesPerValue = 4;
/**
 * Values of a token that one layer holds at once, in multiples of its widths, and arrays of attention scores that exist
 * side by side: measured, the backward pass the most. By how the engine does attention: at once on packed tokens, or by
 * products over padded rows.
 */
const copies = {
  atOnce: { hidden: 6, intermediate: 5, scores: 2 },
  byProducts: { hidden: 8, intermediate: 6, scores: 6 },
};
/** Arrays of logits side by side while losses are measured. */
const logitCopies = 5;

/** What the memory of a search depends on: sums over its rows, and the longest of them. */
export interface SearchSize {
  readonly rows: number;
  readonly tokens: number;
  /** Tokens from the lookup positions on. */
  readonly suffixTokens: number;
  readonly positions: number;
  readonly longestRow: number;
  readonly longestSuffix: number;
  /** Most tokens before a lookup position, and most of those that rows of a context share. */
  readonly longestPrefix: number;
  readonly longestShared: number;
}

/** @param shared tokens of each row that its context's rows all begin with */
export function sizeOf(rows: readonly TargetRow[], shared: readonly number[]): SearchSize {
  const sum = (of: (row: TargetRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const most = (of: (row: TargetRow) => number): number => Math.max(0, ...rows.map(of));
  return {
    rows: rows.length,
    tokens: sum(({ ids }) => ids.length),
    suffixTokens: sum(({ ids, lookup }) => ids.length - lookup),
    positions: sum(({ watched }) => watched.length),
    longestRow: most(({ ids }) => ids.length),
    longestSuffix: most(({ ids, lookup }) => ids.length - lookup),
    longestPrefix: most(({ lookup }) => lookup),
    longestShared: Math.max(0, ...shared),
  };
}

/** Of two searches run as one. */
export function joinSizes(a: SearchSize, b: SearchSize): SearchSize {
  return {
    rows: a.rows + b.rows,
    tokens: a.tokens + b.tokens,
    suffixTokens: a.suffixTokens + b.suffixTokens,
    positions: a.positions + b.positions,
    longestRow: Math.max(a.longestRow, b.longestRow),
    longestSuffix: Math.max(a.longestSuffix, b.longestSuffix),
    longestPrefix: Math.max(a.longestPrefix, b.longestPrefix),
    longestShared: Math.max(a.longestShared, b.longestShared),
  };
}

/**
 * About the most bytes that a search holds at once beside the model's weights: while it is prepared (all tokens, a layer
 * at a time) or while it runs (the suffixes, with the traces of all layers from `from` on).
 */
export function searchBytes(model: Model, size: SearchSize, from: number): number {
  const { config } = model;
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize, layers } = config;
  const keysAndValues = 2 * keyValueHeads * headSize;
  const above = layers - from;
  const past = size.longestPrefix + size.longestShared;
  const { rows } = size;

  const cache = above * size.rows * past * keysAndValues;
  const anchors = size.positions * (config.logitCap === null ? hiddenSize : vocabularySize);
  const kept = cache + anchors + 2 * size.suffixTokens * hiddenSize;

  const allColumns = size.longestRow + size.longestShared;
  const spread = layers * size.rows * size.longestShared * keysAndValues;
  const preparing =
    spread +
    size.tokens * hiddenSize +
    pass(model, { rows, tokens: size.tokens, width: size.longestRow, columns: allColumns }) +
    layout(config, { rows, tokens: size.tokens, width: size.longestRow, columns: allColumns });

  const columns = past + size.longestSuffix;
  const heldByHeads = attendsAtOnce(model, size.longestSuffix)
    ? size.suffixTokens * ((heads + 2 * keyValueHeads) * headSize + heads * columns)
    : rows * (size.longestSuffix * heads * headSize + columns * keysAndValues + heads * size.longestSuffix * columns);
  const traced = size.suffixTokens * (2 * hiddenSize + 2 * intermediateSize) + heldByHeads;
  const measuring = logitCopies * Math.min(size.positions, logitPositions(config)) * vocabularySize;
  const suffixes = { rows, tokens: size.suffixTokens, width: size.longestSuffix, columns };
  const running = above * traced + layout(config, suffixes) + Math.max(measuring, pass(model, suffixes));
  return bytesPerValue * (kept + Math.max(preparing, running));
}

/** What the forward pass of whole rows depends on. */
export interface PassSize {
  readonly rows: number;
  readonly tokens: number;
  readonly longestRow: number;
}

/** About the most bytes that rows hold while they run through a layer, and what a caller keeps of them between layers. */
export function passBytes(model: Model, size: PassSize): { running: number; kept: number } {
  const { config } = model;
  const { hiddenSize, intermediateSize } = config;
  const { rows, tokens, longestRow } = size;
  const shape = { rows, tokens, width: longestRow, columns: longestRow };
  const kept = tokens * (hiddenSize + intermediateSize) + layout(config, shape);
  return { running: bytesPerValue * (tokens * hiddenSize + pass(model, shape)), kept: bytesPerValue * kept };
}

/** Rows of up to `width` new tokens that see up to `columns`. */
interface Shape {
  readonly rows: number;
  readonly tokens: number;
  readonly width: number;
  readonly columns: number;
}

/** Values that one layer holds at once. */
function pass(model: Model, { rows, tokens, width, columns }: Shape): number {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = model.config;
  const atOnce = attendsAtOnce(model, width);
  const { hidden, intermediate, scores } = copies[atOnce ? 'atOnce' : 'byProducts'];
  const slots = (heads + 2 * keyValueHeads) * headSize;
  const attention = atOnce
    ? scores * tokens * heads * columns
    : rows * (2 * width * heads * headSize + columns * 2 * keyValueHeads * headSize + scores * heads * width * columns);
  return tokens * (hidden * hiddenSize + intermediate * intermediateSize + 3 * slots) + attention;
}

/** Rotations of every slot, masks, and the indices by which heads are gathered. */
function layout({ heads, keyValueHeads, headSize }: ModelConfig, { rows, tokens, width, columns }: Shape): number {
  return tokens * 2 * (heads + 2 * keyValueHeads) * headSize + rows * (columns * width * heads + 3 * width * heads);
}
