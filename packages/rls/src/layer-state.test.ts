import { symmetricEigenvalues } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import {
  createInverse,
  createState,
  type InverseCovariance,
  type LayerState,
  measureState,
  type Segment,
  startingDelta,
  verifyState,
} from './index.js';
import { squareOf } from './panel-products.js';
import type { RlsParts } from './parts.js';
import {
  availableParts,
  deltaOf,
  difference,
  inverseCovarianceOf,
  inverseOf,
  random,
  recorded,
} from './testing/states.js';

let engines: readonly RlsParts[];
let parts: RlsParts;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

describe('a state', () => {
  const d = 30;
  const dout = 8;

  it('reports figures that agree with the dense matrices', async () => {
    const inverse = await inverseOf(parts, d);
    for (const batches of [1, 12]) {
      const state = await createState(parts, inverse, { outputs: dout });
      for (let seq = 1; seq <= batches; seq++)
        await state.append(recorded(seq, await state.apply(random(d, 3, seq, 4), random(dout, 3, 100 + seq))));
      await state.append(recorded(99, await state.revoke([{ seq: 1, column: 1 }])));
      const stats = await measureState(parts, state);
      const delta = { rows: dout, columns: d, data: await deltaOf(state) };
      const squares = symmetricEigenvalues(parts.linalg.matmul(delta, delta, { transposeB: true }), dout);
      expect(stats.deltaNorm).toBeCloseTo(norm(delta.data), 10);
      expect(stats.spectralNorm / Math.sqrt(squares[dout - 1])).toBeCloseTo(1, 5);
      expect(stats.deltaBound).toBeGreaterThan(stats.deltaNorm);
      const anchors = random(d, 2 * d, 77);
      const moved = parts.linalg.matmul({ rows: 2 * d, columns: d, data: anchors.data }, delta, { transposeB: true });
      expect(stats.anchorDeviation / norm(moved)).toBeCloseTo(1, 8);
      const eigenvalues = symmetricEigenvalues(await inverseCovarianceOf(state), d);
      expect(stats.conditionEstimate / (eigenvalues[d - 1] / eigenvalues[0])).toBeCloseTo(1, 3);
      const logDet = (values: Float64Array) => values.reduce((s, v) => s + Math.log(v), 0);
      const information = logDet(symmetricEigenvalues(await squareOf(d, inverse.c0.panels()), d)) - logDet(eigenvalues);
      expect(stats.information).toBeCloseTo(information, 7);
      const trace = (values: Float64Array) => values.reduce((s, v) => s + v, 0);
      const c0 = symmetricEigenvalues(await squareOf(d, inverse.c0.panels()), d);
      expect(stats.capacityLeft / (trace(eigenvalues) / trace(c0))).toBeCloseTo(1, 8);
      expect(stats.capacityLeft).toBeLessThan(1);
      const { keys } = state.survivors();
      const along = parts.linalg.matmul({ rows: keys.count, columns: d, data: keys.data }, delta, { transposeB: true });
      const relative = Array.from({ length: keys.count }, (_, j) => {
        const size = norm(keys.data.slice(j * d, (j + 1) * d));
        return (norm(along.slice(j * dout, (j + 1) * dout)) / size) ** 2;
      });
      const mean = relative.reduce((s, v) => s + v, 0) / keys.count;
      expect(stats.editedNorm / Math.sqrt(mean)).toBeCloseTo(1, 8);
      // Dense: the fewest squared singular values with 99 % of their sum.
      let [exact, covered] = [0, 0];
      for (const square of squares.toReversed()) {
        if (covered >= 0.99 * trace(squares)) break;
        covered += square;
        exact++;
      }
      expect(stats.effectiveRank).toBe(exact);
      expect(stats.lambdaMinS).toBeGreaterThanOrEqual(1);
      expect(stats.lambdaMinT).toBeLessThan(1);
      expect(stats.symmetryError).toBeLessThan(1e-12);
      expect(stats.boundShare).toBeCloseTo(stats.deltaNorm / stats.deltaBound, 12);
      expect(stats.rank).toBe(3 * batches + 1);
      expect(stats.effectiveRank).toBeGreaterThan(0);
      expect(stats.effectiveRank).toBeLessThanOrEqual(Math.min(dout, 3 * batches));
      const { weightError, covarianceError, survivingColumns } = await verifyState(parts, state);
      expect(weightError).toBeLessThan(1e-5);
      // The recorded factors are fp32: an exact zero would mean that something else was measured.
      expect(weightError).toBeGreaterThan(1e-10);
      expect(covarianceError).toBeLessThan(1e-9);
      expect(survivingColumns).toBe(3 * batches - 1);
    }
  });

  it('is the base again, to rounding, when all is taken out, however hard the edit was written', async () => {
    for (const scale of [1, 30, 200]) {
      const state = await createState(parts, await inverseOf(parts, d), { outputs: dout });
      await state.append(recorded(1, await state.apply(random(d, 2, 5, scale), random(dout, 2, 6, 50))));
      const size = norm(await deltaOf(state));
      await state.append(
        recorded(
          2,
          await state.revoke([
            { seq: 1, column: 0 },
            { seq: 1, column: 1 },
          ]),
        ),
      );
      expect(norm(await deltaOf(state)) / size).toBeLessThan(1e-5);
      expect((await verifyState(parts, state)).weightError).toBeLessThan(1e-5);
    }
  });

  it('notices a record that does not follow from it', async () => {
    const mismatch = expect.objectContaining({ code: 'LOG_MISMATCH' });
    for (const precision of ['fp64', 'fp32'] as const) {
      const inverse = await inverseOf(parts, d, { precision });
      const state = await createState(parts, inverse, { outputs: dout });
      const segment = recorded(1, await state.apply(random(d, 2, 5), random(dout, 2, 6)));
      const elsewhere = await createState(parts, await inverseOf(parts, d, { lambda: 2, precision }), {
        outputs: dout,
      });
      await expect(elsewhere.append(segment)).rejects.toThrowError(mismatch);
      await expect(state.append({ ...segment, sign: -1 })).rejects.toThrowError(mismatch);
      const { g: _, ...withoutG } = segment;
      await expect(state.append({ ...withoutG, sign: -1 })).rejects.toThrowError(mismatch);
      expect(state.segments).toHaveLength(0);
      await state.append(segment);
      expect(state.deviation).toBeLessThan(1e-6);
    }
  });

  it('refuses what is not there and what is not a number', async () => {
    const state = await createState(parts, await inverseOf(parts, d), { outputs: dout });
    const keys = random(d, 2, 5);
    const residual = random(dout, 2, 6);
    const code = (name: string) => expect.objectContaining({ code: name });
    await expect(state.revoke([{ seq: 1, column: 0 }])).rejects.toThrowError(code('UNKNOWN_COLUMN'));
    await expect(state.revoke([])).rejects.toThrowError(code('UNKNOWN_COLUMN'));
    await expect(state.apply(random(d + 1, 2, 5), residual)).rejects.toThrowError(code('INVALID_TENSOR'));
    await expect(state.apply(keys, random(dout, 3, 6))).rejects.toThrowError(code('INVALID_TENSOR'));
    await expect(state.apply(keys, residual, { weights: [1, 0] })).rejects.toThrowError(code('INVALID_TENSOR'));
    await expect(state.apply(keys, residual, { weights: [1, 1e9] })).rejects.toThrowError(code('ILL_CONDITIONED'));
    const broken = { ...keys, data: keys.data.slice() };
    broken.data[7] = Number.NaN;
    await expect(state.apply(broken, residual)).rejects.toThrowError(code('INVALID_TENSOR'));
    await state.append(recorded(1, await state.apply(keys, residual)));
    const twice = { seq: 1, column: 0 };
    await expect(state.revoke([twice, twice])).rejects.toThrowError(code('UNKNOWN_COLUMN'));
  });

  it.each([1e2, 1e3, 1e4, 1e6])('takes out exactly what was written with keys of scale %d', async (scale) => {
    const inverse = await inverseOf(parts, d);
    const state = await createState(parts, inverse, { outputs: dout });
    await state.append(recorded(1, await state.apply(random(d, 3, 1), random(dout, 3, 2))));
    const before = await deltaOf(state);
    const c = await inverseCovarianceOf(state);
    await state.append(recorded(2, await state.apply(random(d, 2, 5, scale), random(dout, 2, 6, scale))));
    const written = difference(await deltaOf(state), before);
    const both = [0, 1].map((column) => ({ seq: 2, column }));
    const update = await state.revoke(both);
    expect(update.stats.lambdaMin).toBeLessThan(1e-2);
    const segment = recorded(3, update);
    await state.append(segment);
    expect(difference(await deltaOf(state), before) / written).toBeLessThan(1e-5);
    expect(difference(await inverseCovarianceOf(state), c) / norm(c)).toBeLessThan(1e-9);
    expect(state.columns()).toHaveLength(3);
    expect(state.information).toBeCloseTo((await rebuilt(inverse, state.segments.slice(0, 1))).information, 4);
  });

  async function rebuilt(inverse: InverseCovariance, segments: readonly Segment[]): Promise<LayerState> {
    const state = await createState(parts, inverse, { outputs: dout });
    for (const { seq, sign, keys, b, g } of segments) await state.append({ seq, sign, keys, b, g });
    return state;
  }

  it('replaces columns in two records as one after the other would', async () => {
    const inverse = await inverseOf(parts, d);
    const [at, stepwise] = [
      await createState(parts, inverse, { outputs: dout }),
      await createState(parts, inverse, { outputs: dout }),
    ];
    const old = [{ seq: 1, column: 1 }];
    const fresh = random(d, 2, 15);
    const values = random(dout, 2, 16);
    const residualAt = async (state: LayerState) => {
      const moved = (await state.deltaTimes(fresh)).data;
      return { ...values, data: values.data.map((x, i) => x - moved[i]) };
    };
    for (const state of [at, stepwise])
      await state.append(recorded(1, await state.apply(random(d, 2, 5), random(dout, 2, 6))));
    const updates = await at.supersede(old, fresh, await residualAt(at));
    for (const [i, update] of updates.entries()) await at.append(recorded(2 + i, update));
    await stepwise.append(recorded(2, await stepwise.revoke(old)));
    await stepwise.append(recorded(3, await stepwise.apply(fresh, await residualAt(stepwise))));
    expect(difference(await deltaOf(at), await deltaOf(stepwise)) / norm(await deltaOf(at))).toBeLessThan(1e-6);
    const c = await inverseCovarianceOf(at);
    expect(difference(c, await inverseCovarianceOf(stepwise)) / norm(c)).toBeLessThan(1e-12);
  });

  it('measures and repairs a C that has drifted', async () => {
    const inverse = await inverseOf(parts, d, { precision: 'fp32' });
    const state = await createState(parts, inverse, { outputs: dout, foldRank: 1 });
    for (let seq = 1; seq <= 40; seq++)
      await state.append(recorded(seq, await state.apply(random(d, 2, seq), random(dout, 2, seq + 50))));
    const drifted = await state.measureDeviation();
    const { deviation } = await state.refresh();
    expect(deviation).toBeGreaterThan(1e-8);
    expect(deviation).toBeLessThan(1e-4);
    expect(await state.measureDeviation()).toBeLessThan(drifted);
    const watched = await createState(parts, inverse, { outputs: dout, foldRank: 1, refreshDeviation: 0 });
    for (const { seq, sign, keys, b, g } of state.segments) await watched.append({ seq, sign, keys, b, g });
    for (let seq = 41; seq <= 64; seq++)
      await watched.append(recorded(seq, await watched.apply(random(d, 2, seq), random(dout, 2, seq + 50))));
    expect((await watched.refresh()).deviation).toBeLessThan(1e-7);
  });

  it('goes back behind a fold', async () => {
    const inverse = await inverseOf(parts, d);
    const state = await createState(parts, inverse, { outputs: dout, foldRank: 4 });
    const seen = [await deltaOf(state)];
    for (let seq = 1; seq <= 9; seq++) {
      await state.append(recorded(seq, await state.apply(random(d, 2, seq), random(dout, 2, seq + 50))));
      seen.push(await deltaOf(state));
    }
    for (const count of [9, 7, 3, 0]) {
      await state.truncate(count);
      expect(await deltaOf(state)).toEqual(seen[count]);
      expect(state.rank).toBe(2 * count);
    }
    expect(state.bytes).toBe(0);
  });

  it('holds history in the precision it is recorded in', async () => {
    const state = await createState(parts, await inverseOf(parts, d), { outputs: dout, foldRank: 1 });
    const before = state.bytes;
    await state.append(recorded(1, await state.apply(random(d, 2, 1), random(dout, 2, 2))));
    const first = state.bytes;
    await state.append(recorded(2, await state.apply(random(d, 2, 3), random(dout, 2, 4))));
    expect(before).toBe(0);
    // Keys, G and B in fp32, V − W₀K in fp64.
    expect(state.bytes - first).toBe(2 * (4 * (2 * d + dout) + 8 * dout));
  });

  it('starts from the closed form of a given anchor, and measures from W₀', async () => {
    const inverse = await inverseOf(parts, d);
    const anchorKeys = random(d, 2 * d, 77);
    const miss = random(dout, 2 * d, 78);
    const anchor = await startingDelta(inverse, anchorKeys, miss);
    const state = await createState(parts, inverse, { outputs: dout, anchor });
    const a = await squareOf(d, inverse.a0.panels());
    const product = parts.linalg.matmul(
      { rows: dout, columns: d, data: await deltaOf(state) },
      { rows: d, columns: d, data: a },
    );
    const expected = parts.linalg.matmul(
      { rows: 2 * d, columns: dout, data: miss.data },
      { rows: 2 * d, columns: d, data: anchorKeys.data },
      { transposeA: true },
    );
    for (let i = 0; i < expected.length; i++) expected[i] *= 0.8 ** 2;
    expect(difference(product, expected) / norm(expected)).toBeLessThan(1e-10);
    await state.append(recorded(1, await state.apply(random(d, 3, 5), random(dout, 3, 6))));
    const stats = await measureState(parts, state);
    expect(stats.deltaNorm).toBeCloseTo(norm(await deltaOf(state)), 8);
    expect(stats.deltaBound).toBeGreaterThan(stats.deltaNorm);
    const { b, g } = state.factors();
    expect(b.count).toBe(2 * d + 3);
    const whole = parts.linalg.matmul(
      { rows: b.count, columns: dout, data: b.data },
      { rows: g.count, columns: d, data: g.data },
      { transposeA: true },
    );
    expect(difference(whole, await deltaOf(state)) / norm(whole)).toBeLessThan(1e-6);
    expect((await verifyState(parts, state)).weightError).toBeLessThan(1e-5);
  });

  it('keeps all digits of C while it falls by ten orders of magnitude', async () => {
    const inverse = await createInverse(parts, { lambda: 1e-5, mu: 0, anchorKeys: random(d, 1, 77) });
    const state = await createState(parts, inverse, { outputs: dout });
    for (let seq = 1; seq <= 30; seq++)
      await state.append(recorded(seq, await state.apply(random(d, 3, seq), random(dout, 3, seq + 50))));
    // By now A is well-conditioned, so that the closed form is exact to rounding.
    expect((await verifyState(parts, state)).covarianceError).toBeLessThan(1e-11);
  });

  it('tells two columns with the same key apart by their values', async () => {
    const state = await createState(parts, await inverseOf(parts, d), { outputs: dout });
    const keys = random(d, 1, 5);
    for (let seq = 1; seq <= 3; seq++)
      await state.append(recorded(seq, await state.apply(keys, random(dout, 1, 10 + seq, 5))));
    await state.append(recorded(4, await state.revoke([{ seq: 2, column: 0 }])));
    expect(state.survivors().positions.map((p) => p.seq)).toEqual([1, 3]);
    expect((await verifyState(parts, state)).weightError).toBeLessThan(1e-5);
  });

  it('gives the same in plain JavaScript', async () => {
    const wide = 200;
    const anchorKeys = random(wide, 300, 77);
    const results = [];
    for (const which of engines) {
      const state = await createState(which, await createInverse(which, { lambda: 1, mu: 1, anchorKeys }), {
        outputs: dout,
        foldRank: 64,
      });
      for (let seq = 1; seq <= 15; seq++)
        await state.append(recorded(seq, await state.apply(random(wide, 8, seq), random(dout, 8, seq + 50))));
      results.push({ delta: await deltaOf(state), c: await inverseCovarianceOf(state) });
    }
    for (const { delta, c } of results.slice(1)) {
      expect(difference(delta, results[0].delta) / norm(delta)).toBeLessThan(1e-6);
      expect(difference(c, results[0].c) / norm(c)).toBeLessThan(1e-12);
    }
  });
});
