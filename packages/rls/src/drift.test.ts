import type { MatrixEngine } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createState, type InverseCovariance, type LayerState } from './index.js';
import type { RlsParts } from './parts.js';
import { availableParts, inverseOf, random, recorded } from './testing/states.js';

const d = 30;
const dout = 4;

let engines: readonly RlsParts[];
let parts: RlsParts;
let inverse: InverseCovariance;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
  inverse = await inverseOf(parts, d, { precision: 'fp32' });
});
afterAll(async () => {
  inverse.dispose();
  for (const { engine } of engines) await engine.dispose();
});

/** As many batches as there are between two looks, with keys along a few axes only: so that C does not fall as a whole. */
async function write(state: LayerState, scale: number): Promise<void> {
  for (let i = 0; i < 64; i++) {
    const seq = state.segments.length + 1;
    const keys = random(d, 2, seq, scale);
    keys.data.forEach((_, at) => {
      if (at % d >= 4) keys.data[at] = 0;
    });
    await state.append(recorded(seq, await state.apply(keys, random(dout, 2, seq + 500))));
  }
}

it('does not let C in fp32 drift unseen', async () => {
  const alone = await createState(parts, inverse, {
    outputs: dout,
    foldRank: 1,
    refreshDeviation: Number.POSITIVE_INFINITY,
  });
  const watched = await createState(parts, inverse, { outputs: dout, foldRank: 1 });
  for (const state of [alone, watched]) await write(state, 300);
  const drifted = await alone.measureDeviation();
  expect(drifted).toBeGreaterThan(3e-5);
  expect(await watched.measureDeviation()).toBeLessThan(drifted / 10);
  expect((await watched.refresh()).deviation).toBeLessThan(1e-7);
});

it('does not derive again what only rounding keeps off', async () => {
  let stored = 0;
  const counting: MatrixEngine = {
    ...parts.engine,
    symmetric(spec) {
      stored++;
      return parts.engine.symmetric(spec);
    },
  };
  const state = await createState({ ...parts, engine: counting }, inverse, {
    outputs: dout,
    foldRank: 1,
    refreshDeviation: 0,
  });
  await write(state, 1);
  expect(stored).toBe(1);
  await write(state, 1e-6);
  expect(await state.measureDeviation()).toBeGreaterThan(0);
  expect(stored).toBe(1);
});
