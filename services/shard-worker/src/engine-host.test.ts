import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMatrixEngine, jsLinearAlgebra } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EngineHost } from './engine-host.js';
import type { InversionRoom } from './engine-protocol.js';
import { random } from './testing/harness.js';
import { dimensions, MemoryLog } from './testing/memory-log.js';

const { inputs, outputs } = dimensions;
const stopped = new Error('nobody waits any more');
const { signal } = new AbortController();
const plenty: InversionRoom = { memoryBytes: 1e9, scratch: null };
const positions = [{ seq: 1, column: 0 }];

let host: EngineHost;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'errata-engine-host-'));
  const parts = { engine: await createMatrixEngine({ prefer: 'wasm' }), linalg: jsLinearAlgebra() };
  const moment = new MemoryLog().moments.get('plain')?.data ?? new Float32Array();
  host = new EngineHost(parts, async () => moment.slice(), null);
  const terms = { lambda: 0.2, mu: 1, covarianceWeight: 2, covariance: 'plain', dimension: inputs };
  const kept = { precision: 'auto', policy: 'refuse', share: { index: 0, count: 1 }, scratch: null } as const;
  await host.openInverse({ inverse: 1, moment: moment.slice(), ...terms, ...kept }, signal);
  await host.openState({ state: 1, inverse: 1, outputs, rows: { start: 0, end: outputs }, batch: 8 });
});
afterAll(() => rm(folder, { recursive: true }));

const columnsOf = ({ rows, columns, data }: ReturnType<typeof random>) => ({ length: rows, count: columns, data });

/** Factors of a batch so hard that C has to be derived again, and that only another inversion takes it out. */
async function hardBatch(segments: number) {
  const keys = columnsOf(random(inputs, 2, 5));
  const heavy = { ...keys, data: keys.data.map((x) => 3e3 * x) };
  const residual = columnsOf(random(outputs, 2, 6));
  const input = { state: 1, segments, room: plenty, keys: heavy, residual, weights: null, product: null };
  return { ...(await host.apply(input, signal)), seq: segments + 1 };
}

it('stops inversions when it is told to, and keeps them within the memory there is', async () => {
  const first = await hardBatch(0);
  const little: InversionRoom = { memoryBytes: 1000, scratch: null };
  const start = (room: InversionRoom, segments: number, given: AbortSignal) => {
    const input = { state: 1, segments, room };
    return [
      () => host.verify(input, given),
      () => host.refresh(input, given),
      ...(segments === 0
        ? [() => host.append({ ...input, batches: [first] }, given)]
        : [() => host.revoke({ ...input, positions, given: null }, given)]),
    ];
  };
  for (const segments of [0, 1]) {
    for (const job of start(plenty, segments, AbortSignal.abort(stopped))) await expect(job()).rejects.toBe(stopped);
    for (const job of start(little, segments, signal))
      await expect(job()).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', message: expect.stringContaining('1000') });
    for (const job of start({ ...little, scratch: join(folder, 'panels') }, segments, signal))
      await expect(job()).resolves.toBeDefined();
    await expect(readdir(folder)).resolves.toEqual(['panels']);
  }
  const verified = await host.verify({ state: 1, segments: 1, room: plenty }, signal);
  expect(verified).toMatchObject({ survivingColumns: 2 });
  expect(verified.covarianceError).toBeLessThan(1e-7);
});
