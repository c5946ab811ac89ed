import { createHash } from 'node:crypto';
import { type GgufFile, openGguf, readTensor } from '@errata/model';
import type { Check } from './types.js';

/** Where no hash decides, single values must agree to this relative error and sums over a whole tensor too. */
const tolerance = 1e-6;

interface Wanted {
  readonly type?: string;
  readonly shape_rowmajor?: readonly number[];
  readonly first8?: readonly number[];
  readonly last4?: readonly number[];
  readonly sum64?: number;
  readonly frob64?: number;
  readonly sha256_f32le?: string;
}

interface Verdict {
  readonly error: number;
  readonly mismatch: boolean;
}

/**
 * Compares tensors of the model file, expanded to fp32, with `{name: {type, shape_rowmajor, first8, last4, sum64,
 * frob64, sha256_f32le}}`. The hash decides where there is one.
 */
export const checkGguf: Check = async (json, { modelPath }) => {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Error('a gguf fixture is an object of tensors by name');
  const entries = Object.entries(json as Record<string, unknown>).filter(
    (entry): entry is [string, Wanted] =>
      typeof entry[1] === 'object' && entry[1] !== null && 'shape_rowmajor' in entry[1],
  );
  if (entries.length === 0) throw new Error('a gguf fixture names at least one tensor with its shape_rowmajor');
  const file = await openGguf(modelPath);
  const verdicts = entries.map(([name, wanted]) => compare(file, name, wanted));
  const mismatches = verdicts.filter((v) => v.mismatch).length;
  const maxRelError = verdicts.reduce((worst, v) => Math.max(worst, v.error), 0);
  return { cases: entries.length, maxRelError, mismatches, pass: mismatches === 0 };
};

function compare(file: GgufFile, name: string, wanted: Wanted): Verdict {
  const tensor = file.tensors.get(name);
  if (!tensor) return { error: 1, mismatch: true };
  const formatDiffers = wanted.type !== undefined && wanted.type !== tensor.format.name;
  if (formatDiffers || wanted.shape_rowmajor?.join() !== tensor.shape.join()) return { error: 1, mismatch: true };
  const values = readTensor(file, tensor);
  let sum = 0;
  let squares = 0;
  let magnitudes = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
    magnitudes += Math.abs(value);
  }
  const errors = [
    ...(wanted.first8 ?? []).map((value, i) => relative(values[i], value)),
    ...(wanted.last4 ?? []).map((value, i, all) => relative(values[values.length - all.length + i], value)),
    ...(wanted.sum64 === undefined ? [] : [Math.abs(sum - wanted.sum64) / magnitudes]),
    ...(wanted.frob64 === undefined ? [] : [relative(Math.sqrt(squares), wanted.frob64)]),
  ];
  const error = Math.max(0, ...errors);
  if (wanted.sha256_f32le === undefined) return { error, mismatch: !(error <= tolerance) };
  const digest = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
  return { error, mismatch: digest !== wanted.sha256_f32le || !(error <= tolerance) };
}

function relative(found: number | undefined, wanted: number): number {
  if (found === undefined) return 1;
  return found === wanted ? 0 : Math.abs(found - wanted) / Math.max(Math.abs(wanted), 1e-30);
}
