import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inversionBytes, TensorError } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createState, type InverseCovariance, type LayerState, verifyState } from './index.js';
import type { RlsParts } from './parts.js';
import { availableParts, deltaOf, inverseCovarianceOf, inverseOf, random, recorded } from './testing/states.js';

const d = 30;
const dout = 8;
const column = [{ seq: 1, column: 0 }];
const stopped = new Error('nobody waits any more');
const little = { memoryBytes: inversionBytes(d) - 1 };

let engines: readonly RlsParts[];
let parts: RlsParts;
let inverse: InverseCovariance;
let folder: string;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
  inverse = await inverseOf(parts, d);
  folder = await mkdtemp(join(tmpdir(), 'errata-interruption-'));
});
afterAll(async () => {
  inverse.dispose();
  for (const { engine } of engines) await engine.dispose();
  await rm(folder, { recursive: true });
});

/** A batch so hard that taking a column of it out needs an inversion, and a plain one. */
async function written(of: InverseCovariance = inverse): Promise<LayerState> {
  const state = await createState(parts, of, { outputs: dout });
  for (const [seq, scale] of [
    [1, 100],
    [2, 1],
  ])
    await state.append(recorded(seq, await state.apply(random(d, 3, seq, scale), random(dout, 3, 9 + seq))));
  return state;
}

/** What a later call sees of a state. */
async function look(state: LayerState) {
  return {
    delta: await deltaOf(state),
    c: await inverseCovarianceOf(state),
    columns: state.survivors().positions,
    information: state.information,
  };
}

it.each([
  ['aborted', { signal: AbortSignal.abort(stopped) }, stopped],
  ['without memory', little, expect.objectContaining({ code: 'OUT_OF_MEMORY' })],
])('leaves a state as it was when %s', async (_, options, reason) => {
  const state = await written();
  const out = recorded(3, await state.revoke(column));
  // So hard that C is derived again.
  const hard = recorded(3, await state.apply(random(d, 2, 5, 1e4), random(dout, 2, 6)));
  const before = await look(state);
  await expect(state.revoke(column, options)).rejects.toEqual(reason);
  await expect(state.refresh(options)).rejects.toEqual(reason);
  await expect(verifyState(parts, state, options)).rejects.toEqual(reason);
  await expect(state.append(hard, options)).rejects.toEqual(reason);
  await expect(state.append(out, options)).rejects.toEqual(reason);
  expect(await look(state)).toEqual(before);
  await state.append(hard);
  await state.append(recorded(4, await state.revoke(column)));
  const verified = await verifyState(parts, state);
  expect(verified.weightError).toBeLessThan(1e-5);
  expect(verified.covarianceError).toBeLessThan(1e-7);
  expect(verified.survivingColumns).toBe(7);
});

it('inverts on disk where memory is too little, and only there', async () => {
  const state = await written();
  await verifyState(parts, state, { memoryBytes: inversionBytes(d), scratch: join(folder, 'unused') });
  const verified = await verifyState(parts, state, { ...little, scratch: join(folder, 'used') });
  expect(verified.covarianceError).toBeLessThan(1e-9);
  // The folder stays; what was in it is gone.
  expect(await readdir(folder)).toEqual(['used']);
  expect(await readdir(join(folder, 'used'))).toEqual([]);
});

it('does not take a failure of the engine for a column that cannot be taken out', async () => {
  const lost = new TensorError('DEVICE_LOST', 'the device is gone');
  const panels = () => {
    throw lost;
  };
  const state = await written({ ...inverse, a0: { ...inverse.a0, panels } });
  await expect(state.revoke(column)).rejects.toBe(lost);
});
