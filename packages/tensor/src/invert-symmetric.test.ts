import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, invertSymmetric, jsLinearAlgebra, type LinearAlgebra, type SymmetricInverse } from './index.js';
import { lowerPanels, randoms, relativeError, spd } from './testing.js';

let folder: string;
let native: LinearAlgebra;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'errata-inverse-'));
  native = (await createEngine()).linalg;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The whole square, from lower panels. */
async function squareOf(inverse: SymmetricInverse): Promise<Float64Array> {
  const n = inverse.dimension;
  const square = new Float64Array(n * n);
  for (let p = 0; p * inverse.panelRows < n; p++) {
    const { firstRow, rows, columns, data } = await inverse.panel(p);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        square[(firstRow + i) * n + j] = data[i * columns + j];
        if (j < firstRow) square[j * n + firstRow + i] = data[i * columns + j];
      }
  }
  return square;
}

function distanceFromIdentity(a: Float64Array, x: Float64Array, n: number): number {
  const product = native.matmul({ rows: n, columns: n, data: a }, { rows: n, columns: n, data: x });
  const identity = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  return relativeError(product, identity);
}

describe.each([1, 5, 512, 700, 1100])('the blocked inverse at n = %i', (n) => {
  it.each(['memory', 'folder'] as const)('times the matrix is the identity, exactly symmetric, in %s', async (kind) => {
    const a = spd(n, n);
    const storage = kind === 'memory' ? kind : { folder };
    const inverse = await invertSymmetric({ linalg: native }, { dimension: n, fill: lowerPanels(a, n) }, { storage });
    const x = await squareOf(inverse);
    expect(distanceFromIdentity(a, x, n)).toBeLessThan(1e-12);
    let trace = 0;
    let skewed = 0;
    for (let i = 0; i < n; i++) {
      trace += x[i * n + i];
      for (let j = 0; j < i; j++) if (x[i * n + j] !== x[j * n + i]) skewed++;
    }
    expect(skewed).toBe(0);
    expect(inverse.trace / trace).toBeCloseTo(1, 12);
    await inverse.dispose();
    await expect(inverse.panel(0)).rejects.toThrow('disposed');
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('the blocked inverse', () => {
  const n = 600;

  it('agrees with the whole-matrix inverse where the condition number is 1e8', async () => {
    // A = H D H with a Householder reflection H and eigenvalues from 1 to 1e8.
    const v = randoms(n, 3);
    const vv = v.reduce((s, x) => s + x * x, 0);
    const d = Float64Array.from({ length: n }, (_, i) => 10 ** ((8 * i) / (n - 1)));
    const h = Float64Array.from({ length: n * n }, (_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return (i === j ? 1 : 0) - (2 * v[i] * v[j]) / vv;
    });
    const scaled = h.map((x, at) => x * d[at % n]);
    const inverted = h.map((x, at) => x / d[at % n]);
    const square = (left: Float64Array) =>
      native.matmul({ rows: n, columns: n, data: left }, { rows: n, columns: n, data: h }, { transposeB: true });
    const a = square(scaled);
    const exact = square(inverted);
    const inverse = await invertSymmetric({ linalg: native }, { dimension: n, fill: lowerPanels(a, n) });
    const ours = relativeError(await squareOf(inverse), exact);
    expect(ours).toBeLessThan(1e-7);
    expect(ours).toBeLessThan(10 * relativeError(native.invertSpd(a, n), exact) + 1e-12);
    await inverse.dispose();
  });

  it('runs on the JavaScript linear algebra too', async () => {
    const a = spd(n, 9);
    const parts = { linalg: jsLinearAlgebra() };
    const inverse = await invertSymmetric(parts, { dimension: n, fill: lowerPanels(a, n) });
    expect(distanceFromIdentity(a, await squareOf(inverse), n)).toBeLessThan(1e-12);
    await inverse.dispose();
  });

  it('refuses a matrix that is not positive definite, naming rows and pivot, and leaves no scratch file', async () => {
    const a = spd(n, 4);
    a[550 * n + 550] = -1;
    const spec = { dimension: n, fill: lowerPanels(a, n) };
    const failure = invertSymmetric({ linalg: native }, spec, { storage: { folder } });
    await expect(failure).rejects.toMatchObject({ code: 'ILL_CONDITIONED' });
    await expect(failure).rejects.toThrow(/rows 512 to 599.*pivot 38/);
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses NaN and panels of another shape', async () => {
    const a = spd(n, 5);
    a[10 * n] = Number.NaN;
    const good = lowerPanels(spd(n, 5), n);
    const refused = { code: 'INVALID_TENSOR' };
    await expect(invertSymmetric({ linalg: native }, { dimension: n, fill: lowerPanels(a, n) })).rejects.toMatchObject(
      refused,
    );
    const short = invertSymmetric({ linalg: native }, { dimension: n, fill: (first) => good(first, 3) });
    await expect(short).rejects.toMatchObject(refused);
  });

  it('reports progress and stops between panels with the signal’s reason', async () => {
    const a = spd(n, 6);
    const abort = new AbortController();
    const seen: string[] = [];
    const failure = invertSymmetric(
      { linalg: native },
      { dimension: n, fill: lowerPanels(a, n) },
      {
        signal: abort.signal,
        onProgress: (done, total) => {
          seen.push(`${done}/${total}`);
          // From another turn of the event loop, as a message would come.
          setImmediate(() => abort.abort(new Error('enough')));
        },
      },
    );
    await expect(failure).rejects.toThrow('enough');
    expect(seen).toEqual(['1/2']);
  });
});
