import { symmetricEigenvalues } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { norm } from './columns.js';
import { createState } from './create-state.js';
import { createInverse } from './inverse.js';
import type { RlsParts } from './parts.js';
import { deltaSpectrum } from './spectrum.js';
import { measureState, mergeStats } from './stats.js';
import { availableParts, deltaOf, random, recorded } from './testing/states.js';

let engines: readonly RlsParts[];
let parts: RlsParts;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

it('estimates the spectrum of W − W₀ where it is too large to be taken apart', async () => {
  const d = 660;
  const inverse = await createInverse(parts, { lambda: 8, mu: 1, anchorKeys: random(d, 8, 3) });
  const state = await createState(parts, inverse, { outputs: d, foldRank: 400 });
  for (let seq = 1; seq <= 3; seq++) {
    const residual = random(d, 220, seq + 10);
    // Columns of very different size, so that the effective rank is far from all of them.
    for (let i = 0; i < residual.data.length; i++) residual.data[i] *= 0.97 ** Math.floor(i / d);
    await state.append(recorded(seq, await state.apply(random(d, 220, seq), residual)));
  }
  const delta = { rows: d, columns: d, data: await deltaOf(state) };
  const squares = symmetricEigenvalues(parts.linalg.matmul(delta, delta, { transposeB: true }), d).reverse();
  const total = squares.reduce((sum, s) => sum + s, 0);
  let exact = 0;
  for (let covered = 0; covered < 0.99 * total; exact++) covered += squares[exact];
  const { deltaNorm, spectralNorm, effectiveRank } = await deltaSpectrum(parts, state);
  expect(deltaNorm / norm(delta.data)).toBeCloseTo(1, 10);
  expect(spectralNorm / Math.sqrt(squares[0])).toBeCloseTo(1, 2);
  expect(exact).toBeLessThan(500);
  expect(Math.abs(effectiveRank / exact - 1)).toBeLessThan(0.2);
});

it('adds row ranges up to the layer', async () => {
  const d = 30;
  const dout = 8;
  const inverse = await createInverse(parts, { lambda: 0.4, mu: 0.8, anchorKeys: random(d, 2 * d, 77) });
  const ranges = [
    { start: 0, end: dout },
    { start: 0, end: 3 },
    { start: 3, end: dout },
  ];
  const [whole, ...rows] = await Promise.all(
    ranges.map(async (range) => {
      const state = await createState(parts, inverse, { outputs: dout, rows: range });
      await state.append(recorded(1, await state.apply(random(d, 4, 1), random(dout, 4, 2))));
      return measureState(parts, state);
    }),
  );
  const merged = mergeStats(rows);
  for (const figure of [
    'deltaNorm',
    'deltaBound',
    'boundShare',
    'anchorDeviation',
    'information',
    'rank',
    'capacityLeft',
    'editedNorm',
  ] as const)
    expect(merged[figure] / whole[figure]).toBeCloseTo(1, 8);
  expect(merged.spectralNorm).toBeGreaterThanOrEqual(whole.spectralNorm);
  expect(merged.spectralNorm).toBeLessThan(2 * whole.spectralNorm);
});
