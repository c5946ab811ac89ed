import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DenseMatrix, MatrixEngine } from '../matrix-engine.js';
import { relativeError } from '../testing.js';
import { createWebGpuEngine } from './index.js';
import { naiveProduct, naiveUpdate, transposed, vectors, withoutAdapter } from './testing.js';

const obstacle = await withoutAdapter();
const single = 2e-6;

describe.skipIf(obstacle !== null)(`dense matrices on WebGPU${obstacle === null ? '' : ` (${obstacle})`}`, () => {
  let engine: MatrixEngine;
  let small: MatrixEngine;
  beforeAll(async () => {
    engine = await createWebGpuEngine();
    small = await createWebGpuEngine({ bufferBytes: 256_000 });
  });
  afterAll(async () => {
    await engine.dispose();
    await small.dispose();
  });

  const ones = (count: number) => Array.from({ length: count }, () => 1);
  const filled = async (on: MatrixEngine, rows: number, columns: number) => {
    const matrix = await on.zeros(rows, columns, 'fp32');
    const expected = new Float64Array(rows * columns);
    for (const count of [3, 100]) {
      const b = vectors(rows, count, rows + count);
      const g = vectors(columns, count, columns + count);
      await matrix.addOuter(b, g);
      naiveUpdate(expected, b, g, ones(count));
    }
    return { matrix, expected };
  };
  const agrees = async (matrix: DenseMatrix, expected: Float64Array, counts = [1, 3, 32, 100]) => {
    const { rows, columns } = matrix;
    expect(relativeError(await matrix.readRows(0, rows), expected)).toBeLessThan(single);
    for (const count of counts) {
      const x = vectors(columns, count, 1);
      expect(relativeError((await matrix.times(x)).data, naiveProduct(expected, rows, x))).toBeLessThan(single);
      const y = vectors(rows, count, 2);
      const back = naiveProduct(transposed(expected, rows, columns), columns, y);
      expect(relativeError((await matrix.transposeTimes(y)).data, back)).toBeLessThan(single);
    }
  };

  for (const [rows, columns] of [
    [1, 1],
    [7, 5],
    [129, 1],
    [3, 1537],
    [301, 203],
    [1040, 71],
  ])
    it(`is filled, read and multiplied from both sides at ${rows} × ${columns}`, async () => {
      const { matrix, expected } = await filled(engine, rows, columns);
      await agrees(matrix, expected);
      matrix.dispose();
    });

  it('is cut by rows where one buffer cannot hold it', async () => {
    const { matrix, expected } = await filled(small, 401, 303);
    await agrees(matrix, expected, [1, 33]);
    matrix.dispose();
  });

  it('starts as zeros and reads any rows', async () => {
    const matrix = await engine.zeros(200, 3, 'fp32');
    expect(await matrix.readRows(0, 200)).toEqual(new Float64Array(600));
    const b = vectors(200, 1, 1);
    await matrix.addOuter(b, { length: 3, count: 1, data: Float32Array.of(1, 2, 4) });
    const row = (i: number) => [1, 2, 4].map((g) => Math.fround(b.data[i]) * g);
    expect([...(await matrix.readRows(126, 4))]).toEqual([126, 127, 128, 129].flatMap(row));
    expect(await matrix.readRows(200, 0)).toEqual(new Float64Array(0));
    await expect(matrix.readRows(199, 2)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    matrix.dispose();
  });

  it('copies, and the copy outlives it', async () => {
    const { matrix, expected } = await filled(engine, 131, 66);
    const copy = await matrix.copy();
    await matrix.addOuter(vectors(131, 1, 5), vectors(66, 1, 6));
    matrix.dispose();
    await agrees(copy, expected);
    copy.dispose();
    await expect(copy.readRows(0, 1)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    await expect(copy.addOuter(vectors(131, 1, 5), vectors(66, 1, 6))).rejects.toMatchObject({
      code: 'INVALID_TENSOR',
    });
  });
});
