import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Engine } from '@errata/tensor';
import { backward, disposeTrace, forwardTraced } from './backward.js';
import { embed, forward, logits, pickRows } from './forward.js';
import { finalNorm, finalNormBackward, unembed, unembedBackward } from './head.js';
import { createLayout, type Layout, type PastColumns } from './layout.js';
import { free, scoped } from './memory.js';
import { modelOf } from './model.js';
import { type FolderFiles, type ModelFiles, openModelFiles } from './model-files.js';
import { openFolderWeights } from './model-folder.js';
import { byteTokenizer } from './testing.js';
import type { Deltas, KeyValues, Model, Tensor } from './types.js';

/** The fixtures: tiny models of all families, made by tools/make-architecture-fixtures.py. */
export const architectureNames = [
  'llama2',
  'llama3',
  'mistral',
  'qwen2',
  'qwen2-sliding',
  'qwen3',
  'gemma2',
  'gemma3',
  'gpt2',
  'gptj',
  'gptneox',
  'gptneox-sequential',
] as const;

export type ArchitectureName = (typeof architectureNames)[number];

/** What transformers computes: numbers of packed tokens, rows one after the other. */
export interface Expected {
  readonly rows: number[][];
  readonly logits: Float32Array;
  readonly downInputs: ReadonlyMap<number, Float32Array>;
  /** Of the summed loss of `targets` behind the rows, by what is added after `layer` at a position of each row. */
  readonly gradient: { layer: number; positions: number[]; targets: number[]; values: Float32Array };
}

function pathOf(name: ArchitectureName, file: string): string {
  return fileURLToPath(new URL(`../fixtures/architectures/${name}/${file}`, import.meta.url));
}

export function hasGguf(name: ArchitectureName): boolean {
  return existsSync(pathOf(name, 'model.gguf'));
}

/** The folder of a fixture, which has no tokenizer of its own. */
export async function folderOf(name: ArchitectureName, configName = 'config.json'): Promise<FolderFiles> {
  const path = pathOf(name, '.');
  return {
    kind: 'folder',
    path,
    config: JSON.parse(readFileSync(pathOf(name, configName), 'utf8')),
    generationConfig: null,
    tokenizer: null,
    tokenizerConfig: null,
    chatTemplate: null,
    weights: await openFolderWeights(path),
  };
}

export async function ggufOf(name: ArchitectureName): Promise<ModelFiles> {
  return openModelFiles(pathOf(name, 'model.gguf'));
}

export function load(engine: Engine, files: ModelFiles): Promise<Model> {
  return modelOf(files, { engine, tokenizer: byteTokenizer(), id: 'fixture' });
}

export function expectedOf(name: ArchitectureName): Expected {
  const json = JSON.parse(readFileSync(pathOf(name, 'expected.json'), 'utf8'));
  return {
    rows: json.rows,
    logits: numbers(json.logits),
    downInputs: new Map(Object.entries(json.downInputs).map(([layer, x]) => [Number(layer), numbers(x as string)])),
    gradient: { ...json.gradient, values: numbers(json.gradient.values) },
  };
}

function numbers(base64: string): Float32Array {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer);
}

/** Largest difference over largest magnitude. */
export function difference(found: ArrayLike<number>, wanted: Float32Array): number {
  if (found.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let [worst, largest] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const error = Math.abs(found[i] - wanted[i]);
    worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
    largest = Math.max(largest, Math.abs(wanted[i]));
  }
  return worst / largest;
}

/** Logits and captured inputs of whole rows. */
export async function runWhole(
  model: Model,
  { rows, downInputs }: Pick<Expected, 'rows' | 'downInputs'>,
  deltas: Deltas = new Map(),
) {
  const { tf } = model.engine;
  const layout = wholeLayout(model, rows);
  const embedded = embed(model, rows.flat());
  const inputs = new Map<number, Float32Array>();
  const captured: { layer: number; tensor: Tensor }[] = [];
  const { hidden } = await forward(model, embedded, layout, {
    deltas,
    capture: (layer, activations) => {
      if (downInputs.has(layer)) captured.push({ layer, tensor: tf.keep(tf.clone(activations)) });
    },
  });
  for (const { layer, tensor } of captured) {
    inputs.set(layer, (await tensor.data()) as Float32Array);
    tensor.dispose();
  }
  const scores = logits(model, hidden);
  const values = (await scores.data()) as Float32Array;
  layout.dispose();
  free(tf, embedded, hidden, scores);
  return { logits: values, inputs };
}

/** The same logits in three runs, each on the keys and values of those before it; some columns are not a row's own. */
export async function runInPieces(model: Model, { rows, logits: whole }: Expected): Promise<Float32Array> {
  const { tf } = model.engine;
  const vocabulary = model.config.vocabularySize;
  const values = new Float32Array(whole.length);
  const firsts = rows.map((_, row) => rows.slice(0, row).flat().length);
  const cuts = rows.map((row, r) => [0, 3 + r, row.length - 2 - r, row.length]);
  let past: KeyValues[] = [];
  const columns: number[][] = rows.map(() => []);
  for (let piece = 0; piece < 3; piece++) {
    const spans = cuts.map((cut) => ({ first: cut[piece], count: cut[piece + 1] - cut[piece] }));
    const width = columns[0].length;
    const layout = createLayout(tf, model.config, spans, {
      width,
      visible: (row, column) => columns[row][column] === 1,
    });
    const embedded = embed(
      model,
      rows.flatMap((row, r) => row.slice(cuts[r][piece], cuts[r][piece + 1])),
    );
    const run = await forward(model, embedded, layout, {
      keepKeyValues: true,
      ...(past.length > 0 ? { past } : {}),
    });
    const scores = logits(model, run.hidden);
    const found = await scores.data();
    spans.forEach(({ first, count }, row) => {
      const from = layout.starts[row] * vocabulary;
      values.set(found.subarray(from, from + count * vocabulary) as Float32Array, (firsts[row] + first) * vocabulary);
      for (let column = 0; column < layout.width; column++) columns[row].push(column < count ? 1 : 0);
    });
    layout.dispose();
    free(tf, past, embedded, run.hidden, scores);
    past = run.keyValues;
  }
  free(tf, past);
  return values;
}

/**
 * The gradient of the fixture, the layers above run on the tokens from the positions on (`suffix`, with the keys and
 * values of those before) or on all tokens.
 */
export async function gradientOf(model: Model, { rows, gradient }: Expected, suffix: boolean): Promise<Float32Array> {
  const { tf } = model.engine;
  const { targets, positions, layer } = gradient;
  const from = layer + 1;
  const whole = wholeLayout(model, rows);
  const embedded = embed(model, rows.flat());
  const below = (await forward(model, embedded, whole, { to: from })).hidden;
  const starts = suffix ? positions : rows.map(() => 0);
  const past: KeyValues[] = [];
  let columns: PastColumns | undefined;
  if (suffix) {
    const before = tokens(whole, (row) => [0, positions[row]]);
    const prefix = createLayout(
      tf,
      model.config,
      positions.map((count) => ({ first: 0, count })),
    );
    const hidden = pickRows(model, below, before);
    const run = await forward(model, hidden, prefix, { from, keepKeyValues: true });
    past.push(...run.keyValues);
    columns = { width: prefix.width, visible: (row, column) => column < positions[row] };
    prefix.dispose();
    free(tf, hidden, run.hidden);
  }
  const layout = createLayout(
    tf,
    model.config,
    rows.map((row, r) => ({ first: starts[r], count: row.length - starts[r] })),
    columns,
  );
  const hidden = pickRows(
    model,
    below,
    tokens(whole, (row) => [starts[row], rows[row].length]),
  );
  const traced = await forwardTraced(model, hidden, layout, { from, ...(suffix ? { past } : {}) });
  const ends = layout.spans.map(({ count }, row) => layout.starts[row] + count - 1);
  const toHidden = scoped(tf, (): Tensor => {
    const last = pickRows(model, traced.hidden, ends);
    const { scaled, trace } = finalNorm(model, last);
    const scores = unembed(model, scaled);
    const slopes: Tensor = tf.sub(tf.softmax(scores), tf.oneHot(tf.tensor1d(targets, 'int32'), scores.shape[1] ?? 0));
    const toLast = finalNormBackward(model, unembedBackward(model, slopes, scores), trace);
    const rowOf = new Int32Array(layout.tokens);
    ends.forEach((end, row) => {
      rowOf[end] = row + 1;
    });
    const padded = tf.concat([tf.zeros([1, model.config.hiddenSize]), toLast], 0);
    return tf.gather(padded, tf.tensor1d(rowOf, 'int32'));
  });
  const toInput = await backward(model, toHidden, layout, traced, { from });
  const picked = pickRows(
    model,
    toInput,
    positions.map((position, row) => layout.starts[row] + position - starts[row]),
  );
  const values = (await picked.data()) as Float32Array;
  disposeTrace(model, traced);
  whole.dispose();
  layout.dispose();
  free(tf, embedded, below, past, hidden, toHidden, toInput, picked);
  return values;
}

function wholeLayout(model: Model, rows: number[][]): Layout {
  return createLayout(
    model.engine.tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.length })),
  );
}

function tokens(layout: Layout, range: (row: number) => [number, number]): number[] {
  return layout.starts.flatMap((start, row) => {
    const [from, to] = range(row);
    return Array.from({ length: to - from }, (_, i) => start + from + i);
  });
}
