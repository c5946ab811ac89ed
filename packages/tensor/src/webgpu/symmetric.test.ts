import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MatrixEngine, Share, SymmetricMatrix } from '../matrix-engine.js';
import { lowerPanels, relativeError } from '../testing.js';
import { createWebGpuEngine } from './index.js';
import { lowerOf, naiveProduct, naiveUpdate, symmetricSquare, vectors, withoutAdapter } from './testing.js';

const obstacle = await withoutAdapter();
const single = 2e-6;

describe.skipIf(obstacle !== null)(`symmetric matrices on WebGPU${obstacle === null ? '' : ` (${obstacle})`}`, () => {
  let engine: MatrixEngine;
  let small: MatrixEngine;
  beforeAll(async () => {
    engine = await createWebGpuEngine();
    small = await createWebGpuEngine({ bufferBytes: 320_000 });
  });
  afterAll(async () => {
    await engine.dispose();
    await small.dispose();
  });
  const open = (on: MatrixEngine, square: Float64Array, dimension: number, share?: Share) =>
    on.symmetric({ dimension, precision: 'fp32', share, fill: lowerPanels(square, dimension) });

  for (const n of [1, 3, 130, 515, 641])
    it(`multiplies ${n} × ${n} by 1, 3, 32 and 100 vectors`, async () => {
      const square = symmetricSquare(n, n);
      const matrix = await open(engine, square, n);
      for (const count of [1, 3, 32, 100]) {
        const x = vectors(n, count, count);
        const y = await matrix.times(x);
        expect([y.length, y.count]).toEqual([n, count]);
        expect(relativeError(y.data, naiveProduct(square, n, x))).toBeLessThan(single);
      }
      matrix.dispose();
    });

  it('multiplies by more vectors than one submission takes', async () => {
    const square = symmetricSquare(70, 1);
    const matrix = await open(engine, square, 70);
    const x = vectors(70, 259, 2);
    expect(relativeError((await matrix.times(x)).data, naiveProduct(square, 70, x))).toBeLessThan(single);
    matrix.dispose();
  });

  it('is updated in place again and again, symmetric to the last bit', async () => {
    const n = 577;
    const square = symmetricSquare(n, 3);
    const matrix = await open(engine, square, n);
    for (const [round, count] of [1, 3, 32, 100].entries()) {
      const g = vectors(n, count, 40 + round);
      const factors = Array.from({ length: count }, (_, j) => (j % 3 === 1 ? 1 : -0.3 * (j % 5)));
      await matrix.rankUpdate(g, factors);
      naiveUpdate(square, g, g, factors);
    }
    const x = vectors(n, 5, 9);
    expect(relativeError((await matrix.times(x)).data, naiveProduct(square, n, x))).toBeLessThan(single);
    const lower = await lowerOf(matrix);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < i; j++) {
        if (Math.abs(lower[i * n + j] - square[i * n + j]) > 1e-4) expect.fail(`element ${i}, ${j} is wrong`);
        if (Math.floor(i / 512) === Math.floor(j / 512) && lower[i * n + j] !== lower[j * n + i])
          expect.fail(`element ${i}, ${j} differs from ${j}, ${i}`);
      }
    matrix.dispose();
  });

  it('takes more columns than one pass of the update does', async () => {
    const square = symmetricSquare(9, 1);
    const matrix = await open(engine, square, 9);
    const g = vectors(9, 150, 2);
    const factors = Array.from({ length: 150 }, (_, j) => (j % 2 === 0 ? 0.5 : -1));
    await matrix.rankUpdate(g, factors);
    naiveUpdate(square, g, g, factors);
    expect(relativeError(await lowerOf(matrix), square)).toBeLessThan(single);
    matrix.dispose();
  });

  const shared = async (on: MatrixEngine) => {
    const n = 1153;
    const square = symmetricSquare(n, 7);
    const shares = await Promise.all([0, 1].map((index) => open(on, square, n, { index, count: 2 })));
    const g = vectors(n, 3, 8);
    const factors = [1, -1, 0.5];
    await Promise.all(shares.map((share) => share.rankUpdate(g, factors)));
    naiveUpdate(square, g, g, factors);
    for (const count of [1, 3]) {
      const x = vectors(n, count, 11);
      const parts = await Promise.all(shares.map((share) => share.times(x)));
      const sum = parts[0].data.map((value, i) => value + parts[1].data[i]);
      expect(relativeError(sum, naiveProduct(square, n, x))).toBeLessThan(single);
      expect(relativeError(parts[0].data, sum)).toBeGreaterThan(0.1);
    }
    const rows: number[] = [];
    for await (const panel of shares[1].panels()) rows.push(panel.firstRow, panel.rows, panel.columns);
    expect(rows).toEqual([512, 512, 1024]);
    for (const share of shares) share.dispose();
  };

  it('adds up from shares', () => shared(engine));

  // 128 rows of 1024 elements, which are kept together, take 524 kB.
  it('refuses what no buffer of the device can hold, by its size', async () => {
    await expect(shared(small)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', message: /320000/ });
  });

  it('is cut into as many buffers as a small limit demands', async () => {
    const n = 601;
    const square = symmetricSquare(n, 5);
    const matrix = await open(small, square, n);
    const g = vectors(n, 20, 3);
    const factors = Array.from({ length: 20 }, (_, j) => (j % 2 === 0 ? 0.01 : -0.01));
    await matrix.rankUpdate(g, factors);
    naiveUpdate(square, g, g, factors);
    for (const count of [1, 3, 33]) {
      const x = vectors(n, count, 4);
      expect(relativeError((await matrix.times(x)).data, naiveProduct(square, n, x))).toBeLessThan(single);
    }
    matrix.dispose();
  });

  it('copies, and the copy goes its own way', async () => {
    const square = symmetricSquare(137, 5);
    const matrix = await open(engine, square, 137);
    const copy: SymmetricMatrix = await matrix.copy();
    await copy.rankUpdate(vectors(137, 2, 1), [1, 1]);
    const before = await lowerOf(matrix);
    expect(before).toEqual(Float64Array.from(Float32Array.from(square)));
    matrix.dispose();
    expect(relativeError(await lowerOf(copy), before)).toBeGreaterThan(0.1);
    copy.dispose();
  });

  it('refuses NaN, wrong shapes, numbers beyond fp32, fp64 and use after disposal', async () => {
    const matrix = await open(engine, symmetricSquare(5, 1), 5);
    const invalid = { code: 'INVALID_TENSOR' };
    const of = (...data: number[]) => ({ length: 5, count: 1, data: Float64Array.from(data) });
    await expect(matrix.times(of(1, 2, Number.NaN, 4, 5))).rejects.toMatchObject(invalid);
    await expect(matrix.times(of(1, 2, 1e39, 4, 5))).rejects.toMatchObject(invalid);
    await expect(matrix.times(vectors(4, 1, 1))).rejects.toMatchObject(invalid);
    await expect(matrix.rankUpdate(vectors(5, 2, 1), [1])).rejects.toMatchObject(invalid);
    await expect(matrix.times(of(3e38, 3e38, 3e38, 3e38, 3e38))).rejects.toMatchObject(invalid);
    await expect(
      engine.symmetric({ dimension: 5, precision: 'fp64', fill: lowerPanels(symmetricSquare(5, 1), 5) }),
    ).rejects.toMatchObject(invalid);
    const late = matrix.times(vectors(5, 1, 1));
    matrix.dispose();
    matrix.dispose();
    await expect(late).rejects.toMatchObject(invalid);
    await expect(matrix.copy()).rejects.toMatchObject(invalid);
    await expect(lowerOf(matrix)).rejects.toMatchObject(invalid);
  });
});
