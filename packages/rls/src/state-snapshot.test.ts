import type { Share } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createState, importAdapter, type LayerState, type Segment, type StateSnapshot } from './index.js';
import type { RlsParts } from './parts.js';
import { availableParts, deltaOf, inverseOf, random, recorded } from './testing/states.js';

const d = 40;
const dout = 9;
const foldRank = 8;
let engines: readonly RlsParts[];
beforeAll(async () => {
  engines = await availableParts();
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

/** Batches of three columns, one of which takes two of them out again, among them two of one key. */
async function recordedHistory(parts: RlsParts, precision: 'fp32' | 'fp64', batches: number): Promise<Segment[]> {
  const state = await createState(parts, await inverseOf(parts, d, { precision }), { outputs: dout, foldRank });
  const log: Segment[] = [];
  const append = async (segment: Segment) => {
    log.push(segment);
    await state.append(segment);
  };
  for (let seq = 1; seq <= batches; seq++) {
    if (seq === 5) {
      const positions = [
        { seq: 2, column: 1 },
        { seq: 4, column: 0 },
      ];
      await append(recorded(seq, await state.revoke(positions)));
      continue;
    }
    const keys = random(d, 3, seq === 4 ? 2 : seq, 4);
    await append(recorded(seq, await state.apply(keys, random(dout, 3, 100 + seq))));
  }
  state.dispose();
  return log;
}

async function bitsOf(state: LayerState, present = { seq: 1, column: 2 }): Promise<Buffer> {
  const parts = [Buffer.from((await deltaOf(state)).buffer)];
  for await (const { data } of state.inversePanels()) parts.push(Buffer.from(data.slice().buffer));
  const product = await state.inverseTimes(random(d, 4, 999));
  const residual = await state.residualOf([present]);
  const { keys, baseResidual } = state.survivors();
  for (const { data } of [product, residual, keys, baseResidual]) parts.push(Buffer.from(data.slice().buffer));
  return Buffer.concat([...parts, Buffer.from(JSON.stringify([state.information, state.deviation, state.foldRank]))]);
}

it.each([
  ['fp64', { index: 0, count: 1 }],
  ['fp32', { index: 0, count: 1 }],
  ['fp64', { index: 0, count: 2 }],
] as const)('with the log it is the replayed state bit for bit: %s, share %o', async (precision, share: Share) => {
  for (const parts of engines) {
    const log = await recordedHistory(parts, precision, 15);
    const inverse = await inverseOf(parts, d, { precision, share });
    const rows = share.count === 1 ? { start: 0, end: dout } : { start: 0, end: 4 };
    const open = (rank: number) => createState(parts, inverse, { outputs: dout, rows, foldRank: rank });
    const replayed = await open(foldRank);
    expect(await replayed.snapshot()).toBeNull();
    let snapshot: StateSnapshot | null = null;
    for (const segment of log) {
      await replayed.append(segment);
      if (segment.seq === 11) snapshot = await replayed.snapshot();
    }
    if (snapshot === null) throw new Error('it never folded');
    expect(snapshot.segments).toBeLessThan(11);
    expect(snapshot.segments).toBeGreaterThan(5);

    const restored = await open(64);
    await restored.restore(snapshot, log.slice(0, snapshot.segments));
    for (const segment of log.slice(snapshot.segments)) await restored.append(segment);
    expect((await bitsOf(restored)).equals(await bitsOf(replayed))).toBe(true);
    await restored.truncate(7);
    await replayed.truncate(7);
    expect((await bitsOf(restored)).equals(await bitsOf(replayed))).toBe(true);

    const other = await open(foldRank);
    await expect(other.restore(snapshot, log.slice(1, snapshot.segments + 1))).rejects.toMatchObject({
      code: 'LOG_MISMATCH',
    });
    await expect(other.restore({ ...snapshot, panels: [] }, log.slice(0, snapshot.segments))).rejects.toThrow('panel');
    for (const segment of log.slice(0, 7)) await other.append(segment);
    expect((await bitsOf(other)).equals(await bitsOf(replayed))).toBe(true);
    for (const state of [replayed, restored, other]) state.dispose();
  }
});

it('has the keys of an imported adapter, which the log has not', async () => {
  for (const parts of engines) {
    const inverse = await inverseOf(parts, d);
    const open = () => createState(parts, inverse, { outputs: dout, foldRank });
    const state = await open();
    const adapter = { b: random(dout, 4, 5), g: random(d, 4, 6, 0.01), own: false };
    const log: Segment[] = [];
    const append = async (segment: Segment) => {
      log.push(segment);
      await state.append(segment);
    };
    const { keys: _, ...imported } = recorded(1, await importAdapter(parts, state, adapter));
    await append(imported);
    for (let seq = 2; seq <= 6; seq++)
      await append(recorded(seq, await state.apply(random(d, 3, seq, 4), random(dout, 3, 100 + seq))));
    await append(recorded(7, await state.revoke([0, 1, 2, 3].map((column) => ({ seq: 1, column })))));
    await append(recorded(8, await state.apply(random(d, 9, 8, 4), random(dout, 9, 108))));
    const snapshot = await state.snapshot();
    if (snapshot === null) throw new Error('it never folded');
    expect(snapshot).toMatchObject({ segments: 8, keyPlaces: Float64Array.of(0, 6) });
    const restored = await open();
    await restored.restore(snapshot, log);
    const replayed = await open();
    for (const segment of log) await replayed.append(segment);
    const last = { seq: 2, column: 2 };
    const [expected, ...others] = await Promise.all([state, replayed, restored].map((one) => bitsOf(one, last)));
    for (const bits of others) expect(bits.equals(expected)).toBe(true);
    for (const one of [state, restored, replayed]) one.dispose();
  }
});

it('is not taken where a fold was asked for: a replay has it elsewhere', async () => {
  const [parts] = engines;
  const log = await recordedHistory(parts, 'fp64', 8);
  const state = await createState(parts, await inverseOf(parts, d), { outputs: dout, foldRank });
  for (const segment of log.slice(0, 7)) await state.append(segment);
  await state.fold();
  expect(await state.snapshot()).toBeNull();
  // Going back beyond it goes through all of them again.
  await state.truncate(6);
  await state.append(log[6]);
  expect(await state.snapshot()).toMatchObject({ segments: 6 });
  state.dispose();
});
