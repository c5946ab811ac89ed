import type { Precision } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import {
  type Columns64,
  createInverse,
  createState,
  type InverseCovariance,
  importAdapter,
  type LayerState,
  type Segment,
  type Update,
  verifyState,
} from './index.js';
import type { RlsParts } from './parts.js';
import { availableParts, deltaOf, difference, inverseCovarianceOf, random, recorded } from './testing/states.js';

const d = 40;
const dout = 9;

let engines: readonly RlsParts[];
let parts: RlsParts;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

/** An anchor whose directions differ by up to 10^`decades` in size. */
function inverseOf(decades: number, precision: Precision = 'fp64'): Promise<InverseCovariance> {
  const anchorKeys = random(d, 3 * d, 77);
  for (let i = 0; i < anchorKeys.data.length; i++) anchorKeys.data[i] *= 10 ** ((-decades * (i % d)) / d);
  return createInverse(parts, { lambda: 0, mu: 1, anchorKeys }, { precision });
}

/** The record of an import: without keys. */
function importRecord(seq: number, update: Update): Segment {
  const { keys: _, ...record } = recorded(seq, update);
  return record;
}

/** B Gᵀ by rows. */
function product(b: Columns64, g: Columns64): Float64Array {
  const rows = (columns: Columns64) => ({ rows: columns.count, columns: columns.length, data: columns.data });
  return parts.linalg.matmul(rows(b), rows(g), { transposeA: true });
}

async function stateWith(inverse: InverseCovariance, adapter: { b: Columns64; g: Columns64 }, own = false) {
  const state = await createState(parts, inverse, { outputs: dout });
  const update = await importAdapter(parts, state, { ...adapter, own });
  await state.append(importRecord(1, update));
  return { state, update };
}

describe('an imported adapter', () => {
  const adapter = { b: random(dout, 4, 5), g: random(d, 4, 6) };

  it.each([0, 3, 4.5])('changes the weights by exactly B Gᵀ, %s decades of anchor', async (decades) => {
    const { state, update } = await stateWith(await inverseOf(decades), adapter);
    expect(await deltaOf(state)).toEqual(product(adapter.b, adapter.g));
    const verified = await verifyState(parts, state);
    expect(verified.weightError).toBeLessThan(1e-6);
    expect(verified.covarianceError).toBeLessThan(1e-6);
    // λ_min(T), T = R⁻¹R⁻ᵀ: far from singular however the anchor is conditioned.
    expect(Math.max(...update.rDiagonal)).toBeLessThan(1.5);
  });

  it('leaves C at least half of what it was along every direction', async () => {
    const inverse = await inverseOf(2);
    const { state } = await stateWith(inverse, adapter);
    const probe = random(d, 1, 9);
    const left = (await state.inverseTimes(probe)).data.reduce((sum, x, i) => sum + x * probe.data[i], 0);
    await state.truncate(0);
    const whole = (await state.inverseTimes(probe)).data.reduce((sum, x, i) => sum + x * probe.data[i], 0);
    expect(left).toBeLessThan(whole);
    expect(left).toBeGreaterThan(whole / 2);
  });

  it.each([1, 4.5])('is taken out to the last digits, with edits after it or none, %s decades', async (decades) => {
    const inverse = await inverseOf(decades);
    const { state } = await stateWith(inverse, adapter);
    const positions = [0, 1, 2, 3].map((column) => ({ seq: 1, column }));
    const scale = norm(product(adapter.b, adapter.g));
    await state.append(recorded(2, await state.revoke(positions)));
    expect(norm(await deltaOf(state)) / scale).toBeLessThan(1e-6);
    expect((await verifyState(parts, state)).covarianceError).toBeLessThan(1e-6);

    await state.truncate(1);
    const keys = random(d, 3, 20);
    const target = random(dout, 3, 21, 3);
    await state.append(recorded(2, await state.apply(keys, target)));
    await state.append(recorded(3, await state.revoke(positions)));
    const verified = await verifyState(parts, state);
    expect(verified.survivingColumns).toBe(3);
    expect(verified.weightError).toBeLessThan(1e-5);
    expect(verified.covarianceError).toBeLessThan(1e-6);
  });

  it('is rebuilt from its record bit for bit, through a fold and a rollback', async () => {
    const inverse = await inverseOf(4);
    const { state } = await stateWith(inverse, adapter);
    const segments: Segment[] = [importRecord(1, await importOf(inverse))];
    for (const seq of [2, 3, 4]) {
      const update = await state.apply(random(d, 2, seq), random(dout, 2, seq + 50));
      segments.push(recorded(seq, update));
      await state.append(segments[seq - 1]);
    }
    segments.push(recorded(5, await state.revoke([0, 1, 2, 3].map((column) => ({ seq: 1, column })))));
    await state.append(segments[4]);
    const again = await createState(parts, inverse, { outputs: dout });
    for (const segment of segments) await again.append(segment);
    expect(await deltaOf(again)).toEqual(await deltaOf(state));
    expect(await inverseCovarianceOf(again)).toEqual(await inverseCovarianceOf(state));
    await again.fold();
    await again.truncate(3);
    await state.truncate(3);
    expect(difference(await deltaOf(again), await deltaOf(state))).toBeLessThan(1e-12);
  });

  const importOf = async (inverse: InverseCovariance): Promise<Update> =>
    importAdapter(parts, await createState(parts, inverse, { outputs: dout }), { ...adapter, own: false });

  it('has one record for whole layers and for shares of them', async () => {
    const anchorKeys = random(d, 3 * d, 77);
    const source = { lambda: 0.1, mu: 1, anchorKeys };
    const whole = await createState(parts, await createInverse(parts, source), { outputs: dout });
    const record = importRecord(1, await importAdapter(parts, whole, { ...adapter, own: false }));
    await whole.append(record);
    const x = random(d, 2, 3);
    const sum = new Float64Array(2 * d);
    for (const index of [0, 1]) {
      const share = { index, count: 2 };
      const inverse = await createInverse(parts, source, { share });
      const rows = index === 0 ? { start: 0, end: 5 } : { start: 5, end: dout };
      const part = await createState(parts, inverse, { outputs: dout, rows, source: async () => source });
      await part.append(record);
      (await part.inverseTimes(x)).data.forEach((value, i) => {
        sum[i] += value;
      });
    }
    const expected = (await whole.inverseTimes(x)).data;
    expect(difference(sum, expected) / norm(expected)).toBeLessThan(1e-9);
  });

  it('takes layers without a change, and columns that depend on each other', async () => {
    const inverse = await inverseOf(1);
    const g = random(d, 4, 6);
    g.data.copyWithin(d, 0, d);
    g.data.fill(0, 2 * d, 3 * d);
    const { state } = await stateWith(inverse, { b: adapter.b, g });
    expect(await deltaOf(state)).toEqual(product(adapter.b, g));
    const none = { b: random(dout, 2, 1, 0), g: random(d, 2, 1, 0) };
    const empty = await stateWith(inverse, none);
    expect(norm(await deltaOf(empty.state))).toBe(0);
  });

  it('is refused in a log whose factors are no import', async () => {
    const state = await createState(parts, await inverseOf(0), { outputs: dout });
    const g = random(d, 4, 6, 100);
    await expect(state.append({ seq: 1, sign: 1, b: adapter.b, g })).rejects.toThrow(/not positive definite/);
    await expect(state.append({ seq: 1, sign: 1, b: adapter.b })).rejects.toThrow(/neither keys nor the G/);
  });
});

describe('an adapter of a log', () => {
  /** All columns of a state as one adapter. */
  function adapterOf(state: LayerState) {
    const { b, g } = state.factors();
    return { b, g };
  }

  it('brings C with it: edits go on as they would have', async () => {
    const inverse = await inverseOf(1.5);
    const state = await createState(parts, inverse, { outputs: dout });
    for (const seq of [1, 2, 3])
      await state.append(recorded(seq, await state.apply(random(d, 2, seq, 2), random(dout, 2, seq + 50))));
    const { state: next, update } = await stateWith(inverse, adapterOf(state), true);
    expect(update.g.data).toEqual(adapterOf(state).g.data);
    const { b, g } = adapterOf(state);
    expect(await deltaOf(next)).toEqual(product(b, g));
    const c = await inverseCovarianceOf(state);
    expect(difference(await inverseCovarianceOf(next), c) / norm(c)).toBeLessThan(1e-5);
    const keys = random(d, 2, 30, 2);
    const residual = random(dout, 2, 31);
    const there = await state.apply(keys, residual);
    const here = await next.apply(keys, residual);
    expect(difference(product(here.b, here.g), product(there.b, there.g)) / norm(there.b.data)).toBeLessThan(1e-4);
  });

  it('goes in scaled where T leaves no room to take it out', async () => {
    const inverse = await inverseOf(0);
    const state = await createState(parts, inverse, { outputs: dout });
    await state.append(recorded(1, await state.apply(random(d, 2, 1, 1e4), random(dout, 2, 51))));
    const { state: next, update } = await stateWith(inverse, adapterOf(state), true);
    expect(update.g.data).not.toEqual(adapterOf(state).g.data);
    const { b, g } = adapterOf(state);
    expect(await deltaOf(next)).toEqual(product(b, g));
  });
});
