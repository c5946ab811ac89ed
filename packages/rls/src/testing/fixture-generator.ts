import type { RlsFixture } from '../fixture.js';

/** What a generated fixture looks like; every combination must satisfy the recursion. */
export interface FixtureShape {
  readonly d: number;
  readonly dout: number;
  readonly u: number;
  readonly steps: number;
  readonly anchors: number;
  readonly lambda: number;
  readonly mu: number;
  readonly keyScale: number;
  /** Ratio of the largest to the smallest scale among the anchor's directions. */
  readonly spread: number;
  /** Whether V₀ differs from W₀K₀. */
  readonly foreignValues: boolean;
  readonly seed: number;
}

type Matrix = number[][];

function generator(seed: number): () => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((s, x, k) => s + x * b[k][j], 0)));
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const combined = (a: Matrix, b: Matrix, factor: number): Matrix =>
  a.map((row, i) => row.map((x, j) => x + factor * b[i][j]));

/** Gauss-Jordan with full row pivoting: shares nothing with the code under test. */
function inverted(a: Matrix): Matrix {
  const n = a.length;
  const m = a.map((row, i) => [...row, ...Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))]);
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(m[r][c]) > Math.abs(m[pivot][c])) pivot = r;
    [m[c], m[pivot]] = [m[pivot], m[c]];
    const scale = 1 / m[c][c];
    m[c] = m[c].map((x) => x * scale);
    for (let r = 0; r < n; r++) {
      if (r === c || m[r][c] === 0) continue;
      const factor = m[r][c];
      for (let j = c; j < 2 * n; j++) m[r][j] -= factor * m[c][j];
    }
  }
  return m.map((row) => row.slice(n));
}

/** A fixture with its own closed form, written for tests: plain arrays, no shared code. */
export function generateFixture(shape: FixtureShape): RlsFixture {
  const { d, dout, u, lambda, mu } = shape;
  const normal = generator(shape.seed);
  const random = (rows: number, columns: number, scale = 1): Matrix =>
    Array.from({ length: rows }, () => Array.from({ length: columns }, () => scale * normal()));
  const W0 = random(dout, d, 1 / Math.sqrt(d));
  const K0 = random(d, shape.anchors).map((row, i) => row.map((x) => x * shape.spread ** (-i / Math.max(1, d - 1))));
  const exact = times(W0, K0);
  const V0 = shape.foreignValues ? combined(exact, random(dout, shape.anchors), 1) : exact;
  const K = Array.from({ length: shape.steps }, () => random(d, u, shape.keyScale));
  const V = K.map(() => random(dout, u));
  const identity = Array.from({ length: d }, (_, i) => Array.from({ length: d }, (_, j) => (i === j ? 1 : 0)));
  let a = combined(
    identity.map((row) => row.map((x) => x * lambda ** 2)),
    times(K0, transposed(K0)),
    mu ** 2,
  );
  let target = combined(
    W0.map((row) => row.map((x) => x * lambda ** 2)),
    times(V0, transposed(K0)),
    mu ** 2,
  );
  const W: Record<string, Matrix> = {};
  const C: Record<string, Matrix> = {};
  const record = (step: number) => {
    C[step] = inverted(a);
    W[step] = times(target, C[step]);
  };
  record(0);
  K.forEach((k, i) => {
    a = combined(a, times(k, transposed(k)), 1);
    target = combined(target, times(V[i], transposed(k)), 1);
    if (i + 1 === shape.steps || i % 7 === 0) record(i + 1);
  });
  return { d, dout, lambda_: lambda, mu, W0, K0, V0, K, V, W, C };
}
