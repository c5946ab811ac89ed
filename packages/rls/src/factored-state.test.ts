import { createEngine, jsLinearAlgebra, type LinearAlgebra, symmetricEigenvalues } from '@errata/tensor';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import {
  type ColumnPosition,
  type Columns64,
  closedForm,
  createInverse,
  FactoredState,
  type InverseCovariance,
  measureState,
  type Segment,
  type Update,
  verifyState,
} from './index.js';

let linalg: LinearAlgebra;
beforeAll(async () => {
  linalg = (await createEngine()).linalg;
});

function random(length: number, count: number, seed: number, scale = 1): Columns64 {
  let state = (seed * 2654435761) >>> 0;
  const data = Float64Array.from({ length: length * count }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.fround(scale * (state / 2 ** 31 - 1));
  });
  return { length, count, data };
}

function inverseOf(d: number, lambda = 0.4): InverseCovariance {
  return createInverse(linalg, { lambda, mu: 0.8, anchorKeys: random(d, 2 * d, 77) });
}

/** The record of an update as the log keeps it: fp32. */
function recorded(seq: number, update: Update): Segment {
  const single = (c: Columns64) => ({ ...c, data: Float32Array.from(c.data) });
  return { seq, sign: update.sign, keys: single(update.keys), b: single(update.b), g: single(update.g) };
}

const difference = (a: Float64Array, b: Float64Array) => norm(a.map((x, i) => x - b[i]));

function expectClosedForm(state: FactoredState, tolerance: number, scale: number): void {
  const { keys, baseResidual } = state.survivors();
  const expected = closedForm(linalg, state.inverse, keys, baseResidual);
  expect(difference(state.delta(), expected.delta)).toBeLessThanOrEqual(tolerance * (norm(expected.delta) + scale));
  const c = state.inverseCovariance();
  expect(difference(c, expected.c)).toBeLessThanOrEqual(1e-9 * norm(expected.c));
  const d = state.inputs;
  expect(symmetricEigenvalues(c, d)[0]).toBeGreaterThan(0);
  for (let i = 0; i < d; i++)
    for (let j = 0; j < i; j++) expect(Math.abs(c[i * d + j] - c[j * d + i])).toBeLessThanOrEqual(1e-12 * norm(c));
}

type Action =
  | { readonly kind: 'apply'; readonly u: number; readonly seed: number; readonly repeat: boolean }
  | { readonly kind: 'revoke'; readonly picks: readonly number[] }
  | { readonly kind: 'truncate'; readonly share: number };

const actions = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('apply' as const),
        u: fc.integer({ min: 1, max: 5 }),
        seed: fc.integer({ min: 1, max: 1e6 }),
        repeat: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('revoke' as const),
        picks: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('truncate' as const),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
  ),
  { minLength: 1, maxLength: 25 },
);

describe('any sequence of apply, revoke and truncate', () => {
  it('equals the closed form of the columns that survive, and replays bit for bit', () => {
    fc.assert(
      fc.property(actions, fc.integer({ min: 2, max: 40 }), fc.integer({ min: 1, max: 12 }), (list, d, dout) => {
        const inverse = inverseOf(d);
        const state = new FactoredState(linalg, inverse, dout);
        const log: Segment[] = [];
        const live: ColumnPosition[][] = [[]];
        let seq = 0;
        let largest = 0;
        const append = (update: Update, positions: ColumnPosition[]) => {
          const segment = recorded(seq, update);
          state.append(segment);
          log.push(segment);
          live.push(positions);
          largest = Math.max(largest, norm(state.delta()));
        };
        for (const action of list as Action[]) {
          const now = live[live.length - 1];
          if (action.kind === 'apply') {
            // A repeated key is what a corrected correction looks like.
            const keys = action.repeat && log.length > 0 ? log[0].keys : random(d, action.u, action.seed);
            const residual = random(dout, keys.count, action.seed + 1, 3);
            const update = state.apply(keys, residual);
            seq++;
            append(update, [...now, ...Array.from({ length: keys.count }, (_, column) => ({ seq, column }))]);
          } else if (action.kind === 'revoke') {
            if (now.length === 0) continue;
            const picked = [...new Set(action.picks.map((p) => p % now.length))].map((i) => now[i]);
            const update = state.revoke(picked);
            seq++;
            append(
              update,
              now.filter((p) => !picked.includes(p)),
            );
          } else {
            const keep = Math.floor(action.share * log.length);
            state.truncate(keep);
            log.length = keep;
            live.length = keep + 1;
          }
          const order = (positions: readonly ColumnPosition[]) =>
            positions.map((p) => p.seq * 1000 + p.column).sort((a, b) => a - b);
          expect(order(state.survivors().positions)).toEqual(order(live[live.length - 1]));
          expectClosedForm(state, 2e-5, largest);
        }
        const replayed = new FactoredState(linalg, inverse, dout);
        for (const segment of log) replayed.append(segment);
        expect(replayed.delta()).toEqual(state.delta());
        expect(replayed.inverseCovariance()).toEqual(state.inverseCovariance());
        for (const owned of [replayed, state, inverse]) owned.dispose();
      }),
      { numRuns: 60, seed: 20260115 },
    );
  });
});

describe('a state', () => {
  const d = 30;
  const dout = 8;

  it('reports figures that agree with the dense matrices', () => {
    const inverse = inverseOf(d);
    for (const batches of [1, 12]) {
      const state = new FactoredState(linalg, inverse, dout);
      for (let seq = 1; seq <= batches; seq++)
        state.append(recorded(seq, state.apply(random(d, 3, seq, 4), random(dout, 3, 100 + seq))));
      state.append(recorded(99, state.revoke([{ seq: 1, column: 1 }])));
      const stats = measureState(linalg, state);
      const delta = { rows: dout, columns: d, data: state.delta() };
      const squares = symmetricEigenvalues(linalg.matmul(delta, delta, { transposeB: true }), dout);
      expect(stats.deltaNorm).toBeCloseTo(norm(delta.data), 10);
      expect(stats.spectralNorm / Math.sqrt(squares[dout - 1])).toBeCloseTo(1, 5);
      expect(stats.deltaBound).toBeGreaterThan(stats.deltaNorm);
      const anchors = random(d, 2 * d, 77);
      const moved = linalg.matmul({ rows: 2 * d, columns: d, data: anchors.data }, delta, { transposeB: true });
      expect(stats.anchorDeviation / norm(moved)).toBeCloseTo(1, 8);
      const eigenvalues = symmetricEigenvalues(state.inverseCovariance(), d);
      expect(stats.conditionEstimate / (eigenvalues[d - 1] / eigenvalues[0])).toBeCloseTo(1, 3);
      const logDet = (values: Float64Array) => values.reduce((s, v) => s + Math.log(v), 0);
      const information = logDet(symmetricEigenvalues(inverse.c0.read(), d)) - logDet(eigenvalues);
      expect(stats.information).toBeCloseTo(information, 7);
      expect(stats.rank).toBe(3 * batches + 1);
      expect(stats.effectiveRank).toBeGreaterThan(0);
      expect(stats.effectiveRank).toBeLessThanOrEqual(Math.min(dout, 3 * batches));
      const { weightError, covarianceError, survivingColumns } = verifyState(linalg, state);
      expect(weightError).toBeLessThan(1e-5);
      // The recorded factors are fp32: an exact zero would mean that something else was measured.
      expect(weightError).toBeGreaterThan(1e-10);
      expect(covarianceError).toBeLessThan(1e-9);
      expect(survivingColumns).toBe(3 * batches - 1);
    }
  });

  it('is the base again, to rounding, when all is taken out, however hard the edit was written', () => {
    for (const scale of [1, 30, 200]) {
      const state = new FactoredState(linalg, inverseOf(d), dout);
      state.append(recorded(1, state.apply(random(d, 2, 5, scale), random(dout, 2, 6, 50))));
      const size = norm(state.delta());
      state.append(
        recorded(
          2,
          state.revoke([
            { seq: 1, column: 0 },
            { seq: 1, column: 1 },
          ]),
        ),
      );
      expect(norm(state.delta()) / size).toBeLessThan(1e-5);
      expect(verifyState(linalg, state).weightError).toBeLessThan(1e-5);
    }
  });

  it('notices a record that does not follow from it', () => {
    const state = new FactoredState(linalg, inverseOf(d), dout);
    const segment = recorded(1, state.apply(random(d, 2, 5), random(dout, 2, 6)));
    const elsewhere = new FactoredState(linalg, inverseOf(d, 2), dout);
    expect(() => elsewhere.append(segment)).toThrowError(expect.objectContaining({ code: 'LOG_MISMATCH' }));
    expect(() => state.append({ ...segment, sign: -1, g: undefined })).toThrowError(
      expect.objectContaining({ code: 'LOG_MISMATCH' }),
    );
    state.append(segment);
    expect(state.deviation).toBeLessThan(1e-6);
  });

  it('refuses what is not there, what is not a number, and what cannot be taken out exactly', () => {
    const state = new FactoredState(linalg, inverseOf(d), dout);
    const keys = random(d, 2, 5);
    const residual = random(dout, 2, 6);
    const code = (name: string) => expect.objectContaining({ code: name });
    expect(() => state.revoke([{ seq: 1, column: 0 }])).toThrowError(code('UNKNOWN_COLUMN'));
    expect(() => state.apply(random(d + 1, 2, 5), residual)).toThrowError(code('INVALID_TENSOR'));
    expect(() => state.apply(keys, random(dout, 3, 6))).toThrowError(code('INVALID_TENSOR'));
    const broken = { ...keys, data: keys.data.slice() };
    broken.data[7] = Number.NaN;
    expect(() => state.apply(broken, residual)).toThrowError(code('INVALID_TENSOR'));
    state.append(recorded(1, state.apply(random(d, 1, 5, 1e4), random(dout, 1, 6))));
    expect(() => state.revoke([{ seq: 1, column: 0 }])).toThrowError(code('REVOKE_ILL_CONDITIONED'));
    expect(() => state.revoke([])).toThrowError(code('UNKNOWN_COLUMN'));
  });

  it('keeps all digits of C while it falls by ten orders of magnitude', () => {
    const inverse = createInverse(linalg, { lambda: 1e-5, mu: 0, anchorKeys: random(d, 1, 77) });
    const state = new FactoredState(linalg, inverse, dout);
    for (let seq = 1; seq <= 30; seq++)
      state.append(recorded(seq, state.apply(random(d, 3, seq), random(dout, 3, seq + 50))));
    // By now A is well-conditioned, so that the closed form is exact to rounding.
    expect(verifyState(linalg, state).covarianceError).toBeLessThan(1e-11);
  });

  it('tells two columns with the same key apart by their values', () => {
    const state = new FactoredState(linalg, inverseOf(d), dout);
    const keys = random(d, 1, 5);
    for (let seq = 1; seq <= 3; seq++) state.append(recorded(seq, state.apply(keys, random(dout, 1, 10 + seq, 5))));
    const segment = recorded(4, state.revoke([{ seq: 2, column: 0 }]));
    state.append(segment);
    expect(state.survivors().positions.map((p) => p.seq)).toEqual([1, 3]);
    expectClosedForm(state, 1e-5, 1);
  });

  it('gives the same in plain JavaScript', () => {
    const js = jsLinearAlgebra();
    const wide = 200;
    const anchorKeys = random(wide, 300, 77);
    const run = (which: LinearAlgebra) => {
      const state = new FactoredState(which, createInverse(which, { lambda: 1, mu: 1, anchorKeys }), dout);
      for (let seq = 1; seq <= 15; seq++)
        state.append(recorded(seq, state.apply(random(wide, 8, seq), random(dout, 8, seq + 50))));
      return state;
    };
    const [a, b] = [run(linalg), run(js)];
    expect(difference(a.delta(), b.delta()) / norm(a.delta())).toBeLessThan(1e-6);
    expect(difference(a.inverseCovariance(), b.inverseCovariance()) / norm(a.inverseCovariance())).toBeLessThan(1e-12);
  });
});
