import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine, jsLinearAlgebra, largestEigenvalue, symmetricEigenvalues } from './index.js';

/** Deterministic numbers in [−1, 1). */
function randoms(count: number, seed: number): Float64Array {
  let state = seed >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function spd(n: number, seed: number): Float64Array {
  const x = { rows: n, columns: n, data: randoms(n * n, seed) };
  const a = jsLinearAlgebra().matmul(x, x, { transposeB: true });
  for (let i = 0; i < n; i++) a[i * n + i] += 0.5 * n;
  return a;
}

function relativeError(actual: Float64Array, expected: Float64Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

const times = (a: Float64Array, n: number) => (x: Float64Array) =>
  jsLinearAlgebra().matmul({ rows: n, columns: n, data: a }, { rows: n, columns: 1, data: x });

let native: Engine;
beforeAll(async () => {
  native = await createEngine();
});

describe.each([1, 2, 7, 64, 65, 200])('fp64 linear algebra at n = %i', (n) => {
  const engines = () => [jsLinearAlgebra(), native.linalg];

  it('factors: L Lᵀ = A and L is lower', () => {
    const a = spd(n, n);
    for (const linalg of engines()) {
      const data = linalg.cholesky(a, n);
      const l = { rows: n, columns: n, data };
      expect(relativeError(linalg.matmul(l, l, { transposeB: true }), a)).toBeLessThan(1e-14);
      for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) expect(data[i * n + j]).toBe(0);
    }
  });

  it('inverts: A A⁻¹ = I, exactly symmetric', () => {
    const a = spd(n, n + 1);
    const identity = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
    for (const linalg of engines()) {
      const inverse = linalg.invertSpd(a, n);
      const product = linalg.matmul({ rows: n, columns: n, data: a }, { rows: n, columns: n, data: inverse });
      expect(relativeError(product, identity)).toBeLessThan(1e-12);
      for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) expect(inverse[i * n + j]).toBe(inverse[j * n + i]);
    }
  });

  it('solves triangular systems both ways', () => {
    const columns = 3;
    const b = randoms(n * columns, n + 2);
    for (const linalg of engines()) {
      const data = linalg.cholesky(spd(n, n + 3), n);
      const l = { rows: n, columns: n, data };
      for (const transpose of [false, true]) {
        const x = linalg.solveLower(data, b, n, columns, transpose);
        const back = linalg.matmul(l, { rows: n, columns, data: x }, { transposeA: transpose });
        expect(relativeError(back, b)).toBeLessThan(1e-13);
      }
    }
  });

  it('finds eigenvalues whose sum is the trace and whose extremes the iteration confirms', () => {
    const a = spd(n, n + 4);
    const eigenvalues = symmetricEigenvalues(a, n);
    const trace = Array.from({ length: n }, (_, i) => a[i * n + i]).reduce((s, v) => s + v, 0);
    expect(eigenvalues.reduce((s, v) => s + v, 0) / trace).toBeCloseTo(1, 12);
    const largest = largestEigenvalue(n, times(a, n));
    expect(largest / eigenvalues[n - 1]).toBeGreaterThan(1 - 1e-4);
    expect(largest / eigenvalues[n - 1]).toBeLessThan(1 + 1e-12);
    const smallest = 1 / largestEigenvalue(n, times(native.linalg.invertSpd(a, n), n));
    expect(smallest / eigenvalues[0]).toBeGreaterThan(1 - 1e-9);
    expect(smallest / eigenvalues[0]).toBeLessThan(1 + 1e-4);
  });
});

describe('eigenvalues', () => {
  it('are those of a matrix that has known ones, degenerate and zero included', () => {
    const n = 40;
    const values = Float64Array.from({ length: n }, (_, i) => (i < 5 ? 0 : i < 10 ? 3 : i));
    // H = I − 2vvᵀ/vᵀv is orthogonal, so H diag(values) H has these eigenvalues.
    const v = randoms(n, 3);
    const vv = v.reduce((s, x) => s + x * x, 0);
    const h = Float64Array.from({ length: n * n }, (_, k) => {
      const [i, j] = [Math.floor(k / n), k % n];
      return (i === j ? 1 : 0) - (2 * v[i] * v[j]) / vv;
    });
    const scaled = h.map((x, k) => x * values[k % n]);
    const a = jsLinearAlgebra().matmul({ rows: n, columns: n, data: scaled }, { rows: n, columns: n, data: h });
    const found = symmetricEigenvalues(a, n);
    values.sort().forEach((value, i) => {
      expect(Math.abs(found[i] - value)).toBeLessThan(1e-12 * n);
    });
  });
});

describe('eigenvalues of a matrix of low rank', () => {
  it.each([
    [150, 40],
    [300, 3],
    [300, 299],
  ])('n = %i, rank %i: as many zeros as the rank lacks, and the same others as the small Gram matrix', (n, rank) => {
    const x = { rows: n, columns: rank, data: randoms(n * rank, rank) };
    const all = symmetricEigenvalues(native.linalg.matmul(x, x, { transposeB: true }), n);
    const others = symmetricEigenvalues(native.linalg.matmul(x, x, { transposeA: true }), rank);
    const tolerance = 1e-13 * n * others[rank - 1];
    for (let i = 0; i < n; i++) {
      const expected = i < n - rank ? 0 : others[i - (n - rank)];
      expect(Math.abs(all[i] - expected)).toBeLessThan(tolerance);
    }
  });
});

describe('native against JavaScript', () => {
  it.each([
    [300, 500, 40],
    [1, 700, 700],
    [257, 129, 65],
  ])('multiplies %i × %i by %i the same in all orientations', (m, k, n) => {
    const js = jsLinearAlgebra();
    for (const transposeA of [false, true])
      for (const transposeB of [false, true]) {
        const a = { rows: transposeA ? k : m, columns: transposeA ? m : k, data: randoms(m * k, 5) };
        const b = { rows: transposeB ? n : k, columns: transposeB ? k : n, data: randoms(n * k, 6) };
        const expected = js.matmul(a, b, { transposeA, transposeB });
        const resident = native.linalg.upload(a.data, a.rows, a.columns);
        expect(relativeError(native.linalg.matmul(resident, b, { transposeA, transposeB }), expected)).toBeLessThan(
          1e-13,
        );
        expect(relativeError(resident.read(), a.data)).toBe(0);
        resident.dispose();
      }
  });
});

describe('bad input', () => {
  it.each([10, 200])('names the pivot of an indefinite %i × %i matrix instead of returning NaN', (n) => {
    const a = spd(n, 9);
    a[5 * n + 5] = -1;
    for (const linalg of [jsLinearAlgebra(), native.linalg])
      expect(() => linalg.cholesky(a, n)).toThrowError(expect.objectContaining({ code: 'ILL_CONDITIONED' }));
  });

  it('refuses operands that do not fit, and NaN', () => {
    const a = { rows: 2, columns: 3, data: new Float64Array(6) };
    for (const linalg of [jsLinearAlgebra(), native.linalg]) {
      expect(() => linalg.matmul(a, a)).toThrowError(expect.objectContaining({ code: 'INVALID_TENSOR' }));
      expect(() => linalg.cholesky(new Float64Array(5), 2)).toThrowError(
        expect.objectContaining({ code: 'INVALID_TENSOR' }),
      );
    }
    expect(() => symmetricEigenvalues(Float64Array.of(1, Number.NaN, Number.NaN, 1), 2)).toThrowError(
      expect.objectContaining({ code: 'INVALID_TENSOR' }),
    );
  });
});

describe('a disposed matrix', () => {
  it('is refused by name', () => {
    const resident = native.linalg.upload(new Float64Array(400 * 400), 400, 400);
    resident.dispose();
    const b = { rows: 400, columns: 2, data: new Float64Array(800) };
    if (native.name === 'native')
      expect(() => native.linalg.matmul(resident, b)).toThrowError(expect.objectContaining({ code: 'INVALID_TENSOR' }));
    expect(() => resident.dispose()).not.toThrow();
  });
});

afterAll(() => {
  expect(native.tf.memory().numTensors).toBe(0);
});
