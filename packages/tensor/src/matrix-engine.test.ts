import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createMatrixEngine,
  type MatrixEngine,
  type Panel,
  type Precision,
  panelRowsOf,
  type Share,
  type SymmetricMatrix,
  type Vectors64,
} from './index.js';
import { loadNative } from './load-native.js';
import { lowerPanels, randoms, relativeError, spd } from './testing.js';

const vectors = (length: number, count: number, seed: number): Vectors64 => ({
  length,
  count,
  data: randoms(length * count, seed),
});

/** A X or Aᵀ X by the definition; A row-major. */
function naive(a: Float64Array, rows: number, columns: number, x: Vectors64, transposed = false): Float64Array {
  const length = transposed ? columns : rows;
  const out = new Float64Array(length * x.count);
  for (let c = 0; c < x.count; c++)
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        if (transposed) out[c * length + j] += a[i * columns + j] * x.data[c * x.length + i];
        else out[c * length + i] += a[i * columns + j] * x.data[c * x.length + j];
  return out;
}

/** A + Σ f_c b_c g_cᵀ by the definition. */
function withOuter(a: Float64Array, b: Vectors64, g: Vectors64, factors: readonly number[]): Float64Array {
  const out = a.slice();
  for (let c = 0; c < g.count; c++)
    for (let i = 0; i < b.length; i++)
      for (let j = 0; j < g.length; j++)
        out[i * g.length + j] += factors[c] * b.data[c * b.length + i] * g.data[c * g.length + j];
  return out;
}

async function panelsOf(matrix: SymmetricMatrix): Promise<Panel[]> {
  const panels: Panel[] = [];
  for await (const panel of matrix.panels()) panels.push(panel);
  return panels;
}

/** The square of the panels, its upper part by symmetry; throws where a diagonal tile is not symmetric to the last bit. */
async function squareOf(matrix: SymmetricMatrix): Promise<Float64Array> {
  const n = matrix.dimension;
  const square = new Float64Array(n * n);
  for (const { firstRow, rows, columns, data } of await panelsOf(matrix))
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        square[(firstRow + i) * n + j] = data[i * columns + j];
        if (j < firstRow) square[j * n + firstRow + i] = data[i * columns + j];
        else if (data[i * columns + j] !== data[(j - firstRow) * columns + firstRow + i])
          throw new Error(`element ${firstRow + i}, ${j} differs from its mirror image`);
      }
  return square;
}

describe.each(['native', 'wasm'] as const)('the %s matrix engine', (name) => {
  let engine: MatrixEngine;
  beforeAll(async () => {
    engine = await createMatrixEngine({ prefer: name });
  });
  afterAll(() => engine.dispose());

  const symmetric = (a: Float64Array, dimension: number, precision: Precision, share?: Share) =>
    engine.symmetric({ dimension, precision, share, fill: lowerPanels(a, dimension) });
  const bound = { fp64: 1e-13, fp32: 2e-6 };

  it('bears its name and offers both precisions', () => {
    expect(engine.name).toBe(name);
    expect(engine.description).not.toBe('');
    expect([...engine.precisions].sort()).toEqual(['fp32', 'fp64']);
  });

  describe.each(['fp64', 'fp32'] as const)('in %s', (precision) => {
    it.each([1, 7, 512, 515, 1100])('multiplies and updates a symmetric matrix of dimension %i', async (n) => {
      const a = spd(n, n);
      const matrix = await symmetric(a, n, precision);
      expect(matrix).toMatchObject({ dimension: n, precision, panelRows: panelRowsOf(n) });
      const x = vectors(n, 3, 1);
      expect(relativeError((await matrix.times(x)).data, naive(a, n, n, x))).toBeLessThan(bound[precision]);
      const g = vectors(n, 3, 2);
      const factors = [0.5, -0.25, 1];
      await matrix.rankUpdate(g, factors);
      expect(relativeError(await squareOf(matrix), withOuter(a, g, g, factors))).toBeLessThan(bound[precision]);
      matrix.dispose();
    });

    it('keeps exact symmetry and its bytes over many updates', async () => {
      const n = 700;
      const matrix = await symmetric(spd(n, 3), n, precision);
      const { bytes } = matrix;
      for (let k = 0; k < 5; k++) await matrix.rankUpdate(vectors(n, 17, k), new Array(17).fill(-0.1 / (k + 3)));
      await squareOf(matrix);
      expect(matrix.bytes).toBe(bytes);
      expect(bytes).toBeLessThan(0.9 * n * n * (precision === 'fp64' ? 8 : 4));
      matrix.dispose();
    });

    it.each([2, 3, 4])('shares the panels among %i so that products add up to the whole', async (count) => {
      const n = 1300;
      const a = spd(n, 5);
      const x = vectors(n, 4, 6);
      const g = vectors(n, 2, 7);
      const sum = new Float64Array(n * x.count);
      const rows: number[] = [];
      for (let index = 0; index < count; index++) {
        const part = await symmetric(a, n, precision, { index, count });
        await part.rankUpdate(g, [1, -0.5]);
        const { data } = await part.times(x);
        for (let i = 0; i < sum.length; i++) sum[i] += data[i];
        for (const panel of await panelsOf(part)) rows.push(panel.firstRow);
        part.dispose();
      }
      expect(rows.sort((p, q) => p - q)).toEqual([0, 512, 1024]);
      const expected = naive(withOuter(a, g, g, [1, -0.5]), n, n, x);
      expect(relativeError(sum, expected)).toBeLessThan(bound[precision]);
    });

    it('copies a symmetric matrix so that neither changes the other', async () => {
      const n = 600;
      const a = spd(n, 8);
      const matrix = await symmetric(a, n, precision);
      const copy = await matrix.copy();
      const g = vectors(n, 1, 9);
      await copy.rankUpdate(g, [2]);
      expect(relativeError(await squareOf(matrix), a)).toBeLessThan(bound[precision]);
      matrix.dispose();
      expect(relativeError(await squareOf(copy), withOuter(a, g, g, [2]))).toBeLessThan(bound[precision]);
      copy.dispose();
    });

    it.each([
      [1, 1],
      [5, 700],
      [700, 37],
    ])('keeps a %i × %i matrix: outer products, both products, rows, copies', async (rows, columns) => {
      const matrix = await engine.zeros(rows, columns, precision);
      const zero = new Float64Array(rows * columns);
      expect(await matrix.readRows(0, rows)).toEqual(zero);
      const b = vectors(rows, 3, 1);
      const g = vectors(columns, 3, 2);
      await matrix.addOuter(b, g);
      const copy = await matrix.copy();
      await matrix.addOuter(b, g);
      const once = withOuter(zero, b, g, [1, 1, 1]);
      const twice = withOuter(zero, b, g, [2, 2, 2]);
      expect(relativeError(await copy.readRows(0, rows), once)).toBeLessThan(bound[precision]);
      expect(relativeError(await matrix.readRows(0, rows), twice)).toBeLessThan(bound[precision]);
      const [first, count] = [Math.floor(rows / 3), Math.ceil(rows / 2)];
      const some = twice.subarray(first * columns, (first + count) * columns);
      expect(relativeError(await matrix.readRows(first, count), some)).toBeLessThan(bound[precision]);
      const x = vectors(columns, 2, 3);
      expect(relativeError((await matrix.times(x)).data, naive(twice, rows, columns, x))).toBeLessThan(
        10 * bound[precision],
      );
      const y = vectors(rows, 2, 4);
      expect(relativeError((await matrix.transposeTimes(y)).data, naive(twice, rows, columns, y, true))).toBeLessThan(
        10 * bound[precision],
      );
      expect(matrix.bytes).toBe(rows * columns * (precision === 'fp64' ? 8 : 4));
      matrix.dispose();
      copy.dispose();
    });

    it('takes single-precision vectors and none at all', async () => {
      const n = 520;
      const a = spd(n, 2);
      const matrix = await symmetric(a, n, precision);
      const x = vectors(n, 2, 1);
      const single = { ...x, data: Float32Array.from(x.data) };
      const expected = naive(a, n, n, { ...x, data: Float64Array.from(single.data) });
      expect(relativeError((await matrix.times(single)).data, expected)).toBeLessThan(bound[precision]);
      const none = { length: n, count: 0, data: new Float64Array(0) };
      expect(await matrix.times(none)).toEqual(none);
      await matrix.rankUpdate(none, []);
      expect(relativeError(await squareOf(matrix), a)).toBeLessThan(bound[precision]);
      matrix.dispose();
    });

    it('measures itself once', async () => {
      const profile = await engine.profile(precision);
      expect(profile.precision).toBe(precision);
      for (const figure of [profile.matmulFlops, profile.copyBytes, profile.overhead])
        expect(Number.isFinite(figure) && figure > 0).toBe(true);
      expect(await engine.profile(precision)).toBe(profile);
    });
  });

  it('refuses what has another shape or holds NaN, and leaves the matrix as it was', async () => {
    const n = 530;
    const a = spd(n, 1);
    const refused = { name: 'TensorError', code: 'INVALID_TENSOR' };
    const matrix = await symmetric(a, n, 'fp64');
    const bad = vectors(n, 2, 1);
    bad.data[3] = Number.NaN;
    await expect(matrix.times(bad)).rejects.toMatchObject(refused);
    await expect(matrix.times(vectors(n + 1, 1, 1))).rejects.toMatchObject(refused);
    await expect(matrix.rankUpdate(bad, [1, 1])).rejects.toMatchObject(refused);
    await expect(matrix.rankUpdate(vectors(n, 2, 1), [1])).rejects.toMatchObject(refused);
    await expect(matrix.rankUpdate(vectors(n, 1, 1), [Number.POSITIVE_INFINITY])).rejects.toMatchObject(refused);
    expect(relativeError(await squareOf(matrix), a)).toBe(0);
    matrix.dispose();

    await expect(symmetric(a, n, 'fp64', { index: 2, count: 2 })).rejects.toMatchObject(refused);
    const fill = lowerPanels(a, n);
    const wrong = { dimension: n, precision: 'fp64' as const, fill: () => fill(0, 5) };
    await expect(engine.symmetric(wrong)).rejects.toMatchObject(refused);
    a[7 * n + 3] = Number.NaN;
    await expect(symmetric(a, n, 'fp64')).rejects.toMatchObject(refused);

    const dense = await engine.zeros(4, 3, 'fp32');
    await expect(dense.addOuter(vectors(4, 2, 1), vectors(3, 1, 1))).rejects.toMatchObject(refused);
    await expect(dense.times(vectors(4, 1, 1))).rejects.toMatchObject(refused);
    await expect(dense.transposeTimes(vectors(3, 1, 1))).rejects.toMatchObject(refused);
    await expect(dense.readRows(3, 2)).rejects.toMatchObject(refused);
    dense.dispose();
    await expect(engine.zeros(0, 3, 'fp32')).rejects.toMatchObject(refused);
  });

  it('refuses an fp32 update that would overflow instead of storing infinity', async () => {
    const n = 520;
    const a = spd(n, 1);
    const matrix = await symmetric(a, n, 'fp32');
    const huge = { ...vectors(n, 1, 1), data: new Float64Array(n).fill(1e30) };
    await expect(matrix.rankUpdate(huge, [1])).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    expect(relativeError(await squareOf(matrix), a)).toBeLessThan(1e-6);
    matrix.dispose();
    const dense = await engine.zeros(n, n, 'fp32');
    await expect(dense.addOuter(huge, huge)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    dense.dispose();
    a[9 * n + 2] = 1e40;
    await expect(symmetric(a, n, 'fp32')).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
  });

  it('refuses use after dispose; a second dispose does nothing', async () => {
    const matrix = await symmetric(spd(4, 1), 4, 'fp64');
    const dense = await engine.zeros(4, 3, 'fp64');
    matrix.dispose();
    matrix.dispose();
    dense.dispose();
    dense.dispose();
    await expect(matrix.times(vectors(4, 1, 1))).rejects.toThrow('disposed');
    await expect(matrix.copy()).rejects.toThrow('disposed');
    await expect(panelsOf(matrix)).rejects.toThrow('disposed');
    await expect(dense.times(vectors(3, 1, 1))).rejects.toThrow('disposed');
    await expect(dense.readRows(0, 1)).rejects.toThrow('disposed');
  });

  it('refuses more than there is memory for, with the figures', async () => {
    const failure = engine.zeros(2 ** 21, 2 ** 21, 'fp32');
    await expect(failure).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    await expect(failure).rejects.toThrow(`${2 ** 44} bytes`);
    const asked: number[] = [];
    const fill = (firstRow: number): never => {
      asked.push(firstRow);
      throw new Error('asked for a panel');
    };
    await expect(engine.symmetric({ dimension: 2 ** 21, precision: 'fp64', fill })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
    });
    expect(asked).toEqual([]);
  });
});

describe('the native matrix engine', () => {
  it('frees every tensor, also when a call fails', async () => {
    const { binding } = loadNative();
    const engine = await createMatrixEngine({ prefer: 'native' });
    const before = binding.getNumOfTensors();
    const n = 700;
    const fill = lowerPanels(spd(n, 1), n);
    for (const precision of ['fp64', 'fp32'] as const) {
      const matrix = await engine.symmetric({ dimension: n, precision, fill });
      const dense = await engine.zeros(n, 33, precision);
      const held = binding.getNumOfTensors();
      const x = vectors(n, 3, 1);
      await matrix.times(x);
      await matrix.rankUpdate(x, [1, 2, 3]);
      await panelsOf(matrix);
      await dense.addOuter(x, vectors(33, 3, 2));
      await dense.times(vectors(33, 3, 2));
      await dense.transposeTimes(x);
      await dense.readRows(1, 600);
      await expect(matrix.times(vectors(n + 1, 1, 1))).rejects.toThrow();
      await engine.profile(precision);
      expect(binding.getNumOfTensors()).toBe(held);
      (await matrix.copy()).dispose();
      (await dense.copy()).dispose();
      expect(binding.getNumOfTensors()).toBe(held);
      matrix.dispose();
      dense.dispose();
      const cut = engine.symmetric({
        dimension: n,
        precision,
        fill: (first, rows) => {
          if (first > 0) throw new Error('no more');
          return fill(first, rows);
        },
      });
      await expect(cut).rejects.toThrow('no more');
      expect(binding.getNumOfTensors()).toBe(before);
    }
  });

  it('runs in a worker thread while the main thread has its own', async () => {
    const engine = await createMatrixEngine({ prefer: 'native' });
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData).then(async ({ createMatrixEngine }) => {
        const engine = await createMatrixEngine({ prefer: 'native' });
        const matrix = await engine.zeros(3, 2, 'fp64');
        await matrix.addOuter({ length: 3, count: 1, data: Float64Array.of(1, 2, 3) }, { length: 2, count: 1, data: Float64Array.of(1, -1) });
        parentPort.postMessage(await matrix.readRows(0, 3));
      });`;
    const built = new URL('../dist/index.js', import.meta.url).href;
    const worker = new Worker(code, { eval: true, workerData: built });
    try {
      const [values] = await once(worker, 'message');
      expect([...values]).toEqual([1, -1, 2, -2, 3, -3]);
    } finally {
      await worker.terminate();
    }
    const here = await engine.zeros(2, 2, 'fp32');
    expect([...(await here.readRows(0, 2))]).toEqual([0, 0, 0, 0]);
    here.dispose();
  });
});
