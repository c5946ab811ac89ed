import { symmetricEigenvalues } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { conditionOf } from './condition.js';
import { createState } from './create-state.js';
import { createInverse } from './inverse.js';
import type { LayerState } from './layer-state.js';
import type { RlsParts } from './parts.js';
import { availableParts, inverseCovarianceOf, random, recorded } from './testing/states.js';

const d = 40;
const outputs = 6;

let engines: readonly RlsParts[];
let parts: RlsParts;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

async function exact(state: LayerState): Promise<number> {
  const eigenvalues = symmetricEigenvalues(await inverseCovarianceOf(state), d);
  return eigenvalues[d - 1] / eigenvalues[0];
}

async function fresh(): Promise<LayerState> {
  const inverse = await createInverse(parts, { lambda: 0.4, mu: 1, anchorKeys: random(d, 4 * d, 77) });
  return createState(parts, inverse, { outputs });
}

async function add(state: LayerState, seq: number, columns: number, scale: number): Promise<void> {
  const update = await state.apply(random(d, columns, seq, scale), random(outputs, columns, 100 + seq));
  await state.append(recorded(seq, update));
}

it('outlives few and small additions, and is never far below', async () => {
  const state = await fresh();
  await add(state, 1, 4, 0.2);
  const first = await conditionOf(parts, state);
  expect(first / (await exact(state))).toBeCloseTo(1, 3);
  for (let seq = 2; seq <= 5; seq++) {
    await add(state, seq, 4, 0.2);
    expect(await conditionOf(parts, state)).toBe(first);
    expect((await exact(state)) / first).toBeLessThan(1.1);
  }
  // The seventeenth column since.
  await add(state, 6, 1, 0.2);
  const next = await conditionOf(parts, state);
  expect(next).not.toBe(first);
  expect(next / (await exact(state))).toBeCloseTo(1, 3);
});

it('is made anew after a large key, after a removal and after a rollback', async () => {
  const state = await fresh();
  await add(state, 1, 2, 0.2);
  const first = await conditionOf(parts, state);
  await add(state, 2, 1, 40);
  const large = await conditionOf(parts, state);
  expect(large).toBeGreaterThan(2 * first);
  expect(large / (await exact(state))).toBeCloseTo(1, 3);
  await state.append(recorded(3, await state.revoke([{ seq: 2, column: 0 }])));
  const without = await conditionOf(parts, state);
  expect(without / (await exact(state))).toBeCloseTo(1, 3);
  expect(without / first).toBeCloseTo(1, 3);
  await add(state, 4, 1, 40);
  expect(await conditionOf(parts, state)).toBeGreaterThan(2 * first);
  await state.truncate(1);
  expect((await conditionOf(parts, state)) / first).toBeCloseTo(1, 6);
});
