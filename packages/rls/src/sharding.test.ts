import type { Precision } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import { createState } from './create-state.js';
import { createInverse } from './inverse.js';
import type { LayerState } from './layer-state.js';
import type { ColumnPosition, Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import { availableParts, deltaOf, difference, random, recorded } from './testing/states.js';

let engines: readonly RlsParts[];
beforeAll(async () => {
  engines = await availableParts();
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

describe('factored, dense and sharded', () => {
  it.each<[Precision, number]>([
    ['fp64', 1e-9],
    ['fp32', 1e-5],
  ])('%s: the same W and C', async (precision, tolerance) => {
    // Two panels of different size, so that two shares of four have nothing.
    const d = 600;
    const dout = 12;
    const [parts] = engines;
    const anchorKeys = random(d, 100, 77);
    const source = { lambda: 20, mu: 0.8, anchorKeys };
    const batches = Array.from({ length: 4 }, (_, i) => ({
      keys: random(d, 6, 100 + i, 3),
      residual: random(dout, 6, 200 + i),
    }));
    const finals: { delta: Float64Array; product: Float64Array }[] = [];
    const probe = random(d, 2, 5);
    for (const [count, foldRank] of [
      [1, Number.POSITIVE_INFINITY],
      [1, 1],
      [2, 6],
      [4, 12],
    ] as const) {
      const inverses = [];
      const states: LayerState[] = [];
      for (let index = 0; index < count; index++) {
        const inverse = await createInverse(parts, source, { precision, share: { index, count } });
        inverses.push(inverse);
        const rows = { start: (index * dout) / count, end: ((index + 1) * dout) / count };
        states.push(await createState(parts, inverse, { outputs: dout, rows, foldRank, source: async () => source }));
      }
      const product = async (x: Columns64): Promise<Columns64> => {
        const sum = new Float64Array(x.data.length);
        for (const state of states) for (const [i, v] of (await state.inverseTimes(x)).data.entries()) sum[i] += v;
        return { ...x, data: sum };
      };
      const residualOf = async (positions: readonly ColumnPosition[]): Promise<Columns64> => {
        const data = new Float64Array(dout * positions.length);
        for (const state of states) {
          const own = await state.residualOf(positions);
          for (let j = 0; j < own.count; j++)
            data.set(own.data.subarray(j * own.length, (j + 1) * own.length), j * dout + state.rows.start);
        }
        return { length: dout, count: positions.length, data };
      };
      for (const [i, { keys, residual }] of batches.entries()) {
        const update = await states[0].apply(keys, residual, { product: await product(keys) });
        for (const state of states) await state.append(recorded(i + 1, update));
      }
      const taken = [
        { seq: 2, column: 1 },
        { seq: 3, column: 0 },
      ];
      const out = await states[0].revoke(taken, {
        product: await product(states[0].keysOf(taken)),
        residual: await residualOf(taken),
      });
      for (const state of states) await state.append(recorded(9, out));
      if (count > 1) {
        const { deviation } = await states[1].refresh();
        expect(deviation).toBeLessThan(1e-5);
      }
      const delta = new Float64Array(dout * d);
      for (const state of states) delta.set(await deltaOf(state), state.rows.start * d);
      finals.push({ delta, product: (await product(probe)).data });
      for (const owned of [...states, ...inverses]) owned.dispose();
    }
    for (const other of finals.slice(1)) {
      // What the shards append is the recorded fp32 G; a whole fp64 state derives its own.
      expect(difference(other.delta, finals[0].delta) / norm(finals[0].delta)).toBeLessThan(Math.max(tolerance, 1e-6));
      expect(difference(other.product, finals[0].product) / norm(finals[0].product)).toBeLessThan(
        Math.max(tolerance, 1e-6),
      );
    }
    expect(difference(finals[1].product, finals[0].product) / norm(finals[0].product)).toBeLessThan(tolerance);
    expect(difference(finals[1].delta, finals[0].delta) / norm(finals[0].delta)).toBeLessThan(tolerance);
  });

  it.each<Precision>(['fp64', 'fp32'])('%s: a share takes columns out as a whole state does', async (precision) => {
    // Two panels of different size.
    const d = 540;
    const dout = 12;
    const u = 6;
    const [parts] = engines;
    const source = { lambda: 1, mu: 0.8, anchorKeys: random(d, d, 77) };
    const inverse = await createInverse(parts, source, { precision: 'fp64' });
    const whole = await createState(parts, inverse, { outputs: dout });
    const shares: LayerState[] = [];
    for (const index of [0, 1]) {
      const part = await createInverse(parts, source, { precision, share: { index, count: 2 } });
      shares.push(await createState(parts, part, { outputs: dout, source: async () => source }));
    }
    const product = async (x: Columns64): Promise<Columns64> => {
      const data = new Float64Array(x.data.length);
      for (const share of shares) for (const [i, v] of (await share.inverseTimes(x)).data.entries()) data[i] += v;
      return { ...x, data };
    };
    for (const seq of [1, 2]) {
      // So hard that a recorded G is too coarse for a downdate: λ_min(T) of about 1/500.
      const [keys, residual] = [random(d, u, seq, 30), random(dout, u, seq + 9)];
      await whole.append(recorded(seq, await whole.apply(keys, residual)));
      const update = await shares[0].apply(keys, residual, { product: await product(keys) });
      for (const share of shares) await share.append(recorded(seq, update));
    }
    const taken = [1, 2].map((seq) => ({ seq, column: 2 * seq }));
    const expected = await whole.revoke(taken);
    await whole.append(recorded(4, expected));
    const out = await shares[0].revoke(taken, { product: await product(shares[0].keysOf(taken)) });
    expect(out.stats.lambdaMin / expected.stats.lambdaMin).toBeCloseTo(1, 4);
    for (const share of shares) {
      await share.append(recorded(4, out));
      const delta = await deltaOf(whole);
      expect(difference(await deltaOf(share), delta) / norm(delta)).toBeLessThan(1e-5);
    }
    for (const owned of [...shares, whole]) owned.dispose();
  });
});
