import { describe, expect, it } from 'vitest';
import type { LayerFactors } from './factors.js';
import { thinQr } from './householder.js';
import { jacobiSvd } from './jacobi-svd.js';
import { lowRank } from './low-rank.js';
import { noPause, randoms } from './testing/edited.js';

/** X Yᵀ of column-major X m × r and Y n × r, column-major. */
function product(x: ArrayLike<number>, m: number, y: ArrayLike<number>, n: number, r: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let c = 0; c < r; c++)
    for (let j = 0; j < n; j++) for (let i = 0; i < m; i++) out[j * m + i] += x[c * m + i] * y[c * n + j];
  return out;
}

function distance(a: Float64Array, b: Float64Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

const denseOf = ({ b, g, inputs, outputs, rank }: LayerFactors) => product(b, outputs, g, inputs, rank);

function factors(outputs: number, inputs: number, rank: number): LayerFactors {
  const b = Float32Array.from(randoms(outputs * rank, 1));
  const g = Float32Array.from(randoms(inputs * rank, 2));
  // Columns that fall off, as those of a stream do.
  for (let c = 0; c < rank; c++) for (let i = 0; i < outputs; i++) b[c * outputs + i] *= 0.8 ** c;
  return { layer: 3, outputs, inputs, rank, b, g };
}

describe('QR', () => {
  it.each([
    [9, 4],
    [4, 9],
    [5, 5],
  ])('of %i × %i gives the matrix back, with orthonormal Q', async (rows, columns) => {
    const a = randoms(rows * columns, 3);
    const { r, k, times } = await thinQr(Float64Array.from(a), rows, columns, noPause);
    expect(distance(times(r, columns), a)).toBeLessThan(1e-14);
    const identity = new Float64Array(k * k);
    for (let i = 0; i < k; i++) identity[i * k + i] = 1;
    const q = times(identity, k);
    for (let i = 0; i < k; i++)
      for (let j = 0; j < k; j++) {
        let dot = 0;
        for (let row = 0; row < rows; row++) dot += q[i * rows + row] * q[j * rows + row];
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 13);
      }
  });
});

describe('singular values', () => {
  it.each([
    [7, 4],
    [4, 7],
    [6, 6],
  ])('of %i × %i multiply back and descend', async (rows, columns) => {
    const m = randoms(rows * columns, 4);
    const { u, values, v } = await jacobiSvd(m, rows, columns, noPause);
    const k = values.length;
    const scaled = Float64Array.from(u, (x, i) => x * values[Math.floor(i / rows)]);
    expect(distance(product(scaled, rows, v, columns, k), m)).toBeLessThan(1e-13);
    expect([...values]).toEqual([...values].sort((a, b) => b - a));
  });

  it('of a matrix that is known', async () => {
    // [[3, 0], [4, 5]] has the values √45 and √5.
    const { values } = await jacobiSvd(Float64Array.of(3, 4, 0, 5), 2, 2, noPause);
    expect(values[0]).toBeCloseTo(Math.sqrt(45), 13);
    expect(values[1]).toBeCloseTo(Math.sqrt(5), 13);
  });
});

describe('cutting to a rank', () => {
  it('leaves factors within the limit as they are', async () => {
    const exact = factors(12, 20, 6);
    expect(await lowRank(exact, 6, noPause)).toEqual({ factors: exact, relativeError: 0 });
  });

  it.each([
    [12, 20, 9, 4],
    [12, 20, 30, 4],
    [20, 12, 30, 11],
  ])('%i × %i with %i columns to %i: the error is as stated and the least', async (outputs, inputs, rank, wanted) => {
    const exact = factors(outputs, inputs, rank);
    const cut = await lowRank(exact, wanted, noPause);
    expect(cut.factors.rank).toBe(wanted);
    const dense = denseOf(exact);
    expect(distance(denseOf(cut.factors), dense)).toBeCloseTo(cut.relativeError, 6);
    const { values } = await jacobiSvd(dense, outputs, inputs, noPause);
    const tail = values.subarray(wanted).reduce((sum, x) => sum + x * x, 0);
    const all = values.reduce((sum, x) => sum + x * x, 0);
    expect(cut.relativeError).toBeCloseTo(Math.sqrt(tail / all), 10);
  });

  it('finds that columns taken out again leave no rank behind', async () => {
    const { b, g, ...rest } = factors(12, 20, 5);
    const removed = Float32Array.from([...b, ...b.map((x) => -x)]);
    const kept = factors(12, 20, 2);
    const cut = await lowRank(
      {
        ...rest,
        rank: 12,
        b: Float32Array.from([...removed, ...kept.b]),
        g: Float32Array.from([...g, ...g, ...kept.g]),
      },
      8,
      noPause,
    );
    expect(cut.factors.rank).toBe(2);
    expect(cut.relativeError).toBeLessThan(1e-7);
    expect(distance(denseOf(cut.factors), denseOf(kept))).toBeLessThan(1e-6);
  });
});
