import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { UsageError } from '../failure.js';

/** Keys side by side, dimension × count. */
export interface StoredKeys {
  readonly dimension: number;
  readonly count: number;
  readonly data: Float32Array;
}

/**
 * Keys from a file: `.f32`, little-endian fp32 values key after key, `dimension` of them each; or `.json`, an array of
 * keys that are arrays of numbers.
 * @throws UsageError
 */
export async function readKeys(path: string, dimension: number): Promise<StoredKeys> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new UsageError(`--keys: cannot read ${path}: ${error instanceof Error ? error.message : error}`);
  }
  const keys = extname(path) === '.json' ? fromJson(path, bytes.toString('utf8')) : fromFloats(path, bytes, dimension);
  const bad = keys.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new UsageError(`--keys: value ${bad} of ${path} is ${keys.data[bad]}, not a finite number`);
  return keys;
}

function fromFloats(path: string, bytes: Buffer, dimension: number): StoredKeys {
  const size = 4 * dimension;
  if (bytes.length === 0 || bytes.length % size !== 0)
    throw new UsageError(`--keys: ${path} has ${bytes.length} bytes, not a multiple of ${size} (--d-in ${dimension})`);
  const data = new Float32Array(bytes.length / 4);
  for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(4 * i);
  return { dimension, count: bytes.length / size, data };
}

function fromJson(path: string, text: string): StoredKeys {
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--keys: ${path} is no JSON: ${error instanceof Error ? error.message : error}`);
  }
  const lengths = Array.isArray(rows) ? new Set(rows.map((row) => (Array.isArray(row) ? row.length : -1))) : new Set();
  const [dimension] = lengths;
  if (!Array.isArray(rows) || lengths.size !== 1 || typeof dimension !== 'number' || dimension < 1)
    throw new UsageError(`--keys: ${path} has to be an array of equally long arrays of numbers`);
  return { dimension, count: rows.length, data: Float32Array.from(rows.flat() as number[]) };
}
