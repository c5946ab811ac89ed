import { existsSync } from 'node:fs';
import type { Engine } from '@errata/tensor';
import { UsageError } from '../failure.js';
import { readKeys } from './key-file.js';
import { createKeySource } from './key-source.js';
import type { AccuracyOptions } from './options.js';
import { realKeys } from './real-keys.js';

/** The edited layer whose inputs serve as keys. */
const LAYER = 8;
/** Tokens of the covariance. */
const MOMENT_TOKENS = 20_000;

/** Keys of an accuracy run with the second moment of the inputs they belong to. */
export interface AccuracyKeys {
  readonly dimension: number;
  /** Keys side by side: at least as many as there are edits. */
  readonly keys: Float32Array;
  /** Mean of x xᵀ, dimension × dimension. */
  readonly moment: Float32Array;
  /** Where they are from, for people. */
  readonly origin: string;
}

/** Where the keys come from: a file, an installed model, or neither. */
export interface KeyOrigin {
  readonly file: string | null;
  readonly modelPath: string | null;
  onProgress(text: string): void;
}

/** @throws UsageError when a file has too few keys */
export async function accuracyKeys(
  engine: Engine,
  options: AccuracyOptions,
  { file, modelPath, onProgress }: KeyOrigin,
): Promise<AccuracyKeys> {
  if (file !== null) return keysOfFile(engine, options, file);
  if (modelPath === null || !existsSync(modelPath)) return syntheticKeys(options);
  onProgress(`keys of layer ${LAYER} on real text: running the model`);
  const { dimension, keys, moment, momentTokens } = await realKeys(engine, modelPath, {
    layer: LAYER,
    count: options.edits,
    momentTokens: MOMENT_TOKENS,
  });
  return {
    dimension,
    keys,
    moment,
    origin: `real: inputs of layer ${LAYER}'s down projection at word ends of speeches; covariance of ${momentTokens} other tokens`,
  };
}

async function keysOfFile(engine: Engine, { dIn, edits }: AccuracyOptions, file: string): Promise<AccuracyKeys> {
  const { dimension, count, data } = await readKeys(file, dIn);
  if (count < edits)
    throw new UsageError(`--keys: ${file} has ${count} keys for ${edits} edits: give fewer --edits or more keys`);
  // Keys that no edit uses make the covariance where they can; otherwise all do.
  const spare = count - edits >= dimension;
  const used = spare ? data.subarray(edits * dimension) : data;
  const rows = { rows: used.length / dimension, columns: dimension, data: Float64Array.from(used) };
  const sum = engine.linalg.matmul(rows, rows, { transposeA: true });
  return {
    dimension,
    keys: data.subarray(0, edits * dimension),
    moment: Float32Array.from(sum, (x) => x / rows.rows),
    origin: `file: ${count} keys; covariance of ${spare ? 'those that no edit uses' : 'all of them'}`,
  };
}

function syntheticKeys({ dIn, edits, seed }: AccuracyOptions): AccuracyKeys {
  const source = createKeySource(dIn, seed);
  const { data: u, count } = source.directions;
  const moment = new Float32Array(dIn * dIn);
  for (let i = 0; i < dIn; i++)
    for (let j = 0; j < dIn; j++) {
      let sum = i === j ? source.noise : 0;
      for (let r = 0; r < count; r++) sum += u[r * dIn + i] * u[r * dIn + j];
      moment[i * dIn + j] = sum;
    }
  return { dimension: dIn, keys: Float32Array.from(source.next(edits).data), moment, origin: 'synthetic' };
}
