import type { SymmetricMatrix, Vectors } from '../matrix-engine.js';
import { randoms } from '../testing.js';
import { openDevice } from './adapter.js';

/** Why the tests of this folder cannot run here, or null. Where set-up has put a driver, not running would be a failure. */
export async function withoutAdapter(): Promise<string | null> {
  try {
    const { device } = await openDevice();
    device.destroy();
    return null;
  } catch (error) {
    if (process.env.ERRATA_TEST_VULKAN !== undefined) throw error;
    return 'no Vulkan driver here: npm run setup -- --test brings a software one to a Debian machine';
  }
}

export const vectors = (length: number, count: number, seed: number): Vectors => ({
  length,
  count,
  data: randoms(length * count, seed),
});

/** A random symmetric square, row-major. */
export function symmetricSquare(n: number, seed: number): Float64Array {
  const square = randoms(n * n, seed);
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) square[j * n + i] = square[i * n + j];
  return square;
}

/** rows × columns times columns × count. */
export function naiveProduct(m: Float64Array, rows: number, x: Vectors): Float64Array {
  const out = new Float64Array(rows * x.count);
  for (let v = 0; v < x.count; v++)
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let k = 0; k < x.length; k++) sum += m[i * x.length + k] * x.data[v * x.length + k];
      out[v * rows + i] = sum;
    }
  return out;
}

/** Adds Σ factorⱼ bⱼ gⱼᵀ. */
export function naiveUpdate(m: Float64Array, b: Vectors, g: Vectors, factors: readonly number[]): void {
  for (const [v, factor] of factors.entries())
    for (let i = 0; i < b.length; i++) {
      const scale = factor * b.data[v * b.length + i];
      for (let k = 0; k < g.length; k++) m[i * g.length + k] += scale * g.data[v * g.length + k];
    }
}

export function transposed(m: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from({ length: m.length }, (_, at) => m[(at % rows) * columns + Math.floor(at / rows)]);
}

/** The held panels as a row-major square, zero where nothing is held. */
export async function lowerOf(matrix: SymmetricMatrix): Promise<Float64Array> {
  const n = matrix.dimension;
  const out = new Float64Array(n * n);
  for await (const { firstRow, rows, columns, data } of matrix.panels())
    for (let i = 0; i < rows; i++) out.set(data.subarray(i * columns, (i + 1) * columns), (firstRow + i) * n);
  return out;
}
