import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsOf } from './shares.js';
import { course, relativeDifference } from './testing/course.js';
import { at, type Bench, layer, limits, random, record, startBench } from './testing/harness.js';
import { MemoryLog } from './testing/memory-log.js';

const size = { inputs: 640, outputs: 30 };

let log: MemoryLog;
let benches: Bench[];

beforeAll(async () => {
  log = new MemoryLog(size);
  benches = await Promise.all(Array.from({ length: 4 }, () => startBench(log)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.stop())));

describe('a layer over several workers', () => {
  it('gives what one worker gives, with 2 and with 4', async () => {
    const one = await course(benches[0], size, []);
    const verified = await benches[0].client.verify(one.query, limits);
    expect(verified.survivingColumns).toBe(8);
    expect(verified.weightError).toBeLessThan(1e-5);
    for (const count of [2, 4]) {
      const peers = benches.slice(1, count).map(({ address }) => address);
      const several = await course(benches[0], size, peers);
      several.updates.forEach((update, i) => {
        for (const name of ['keys', 'g', 'b'] as const)
          expect(relativeDifference(update[name].data, one.updates[i][name].data)).toBeLessThan(1e-5);
        expect(update.stats.lambdaMin / one.updates[i].stats.lambdaMin).toBeCloseTo(1, 5);
      });
      expect(several.delta).toMatchObject({ rows: size.outputs, columns: size.inputs });
      expect(relativeDifference(several.delta.data, one.delta.data)).toBeLessThan(1e-5);
      for (const name of ['deltaNorm', 'anchorDeviation', 'information', 'lambdaMinS', 'lambdaMinT'] as const)
        expect(several.stats[name] / one.stats[name]).toBeCloseTo(1, 5);
      // λ_min(A₀) is found by iteration, on another path where only a share is held.
      expect(several.stats.deltaBound / one.stats.deltaBound).toBeCloseTo(1, 3);
      expect(several.stats.rank).toBe(one.stats.rank);
      const { survivingColumns, weightError, covarianceError } = await benches[0].client.verify(several.query, limits);
      expect(survivingColumns).toBe(8);
      expect(weightError).toBeLessThan(1e-5);
      expect(covarianceError).toBeLessThan(1e-5);
    }
  });

  it('is kept in parts: each worker holds its share of C and no more', async () => {
    const streamId = log.addStream({ precision: 'fp64' });
    const query = { state: at(streamId, 0), layer };
    const whole = await benches[3].client.prepare(query, limits);
    const parts = await Promise.all(
      [0, 1].map((index) => benches[3].client.prepare({ ...query, share: { index, count: 2 } }, limits)),
    );
    for (const part of parts) expect(part.bytes).toBeLessThan(0.9 * whole.bytes);
    expect(parts[0].bytes + parts[1].bytes).toBeLessThan(1.1 * whole.bytes);
    const peers = [benches[1].address];
    const both = await benches[0].client.prepare({ ...query, peers }, limits);
    expect(both.bytes).toBe(parts[0].bytes + parts[1].bytes);
    expect(both.lambda).toBe(whole.lambda);
  });

  it('works where one worker holds two shares, and through fold and refresh', async () => {
    const streamId = log.addStream({ precision: 'fp64' });
    const { client, address } = benches[0];
    const peers = [address];
    const keys = random(size.inputs, 3, 9);
    const residual = random(size.outputs, 3, 10);
    record(
      log,
      streamId,
      1,
      1,
      await client.apply({ state: at(streamId, 0), layer, epoch: 1, keys, residual, peers }, limits),
    );
    const query = { state: at(streamId, 0, [1]), layer, peers };
    const before = await client.materialize(query, limits);
    expect((await client.fold(query, limits)).rank).toBe(3);
    expect((await client.refresh(query, limits)).deviation).toBeLessThan(1e-5);
    expect(relativeDifference((await client.materialize(query, limits)).data, before.data)).toBeLessThan(1e-6);
  });

  it('fails with the error of the share that failed', async () => {
    const streamId = log.addStream();
    const { client } = benches[0];
    const state = at(streamId, 0);
    const keys = random(size.inputs, 1, 1);
    const residual = random(size.outputs, 1, 2);
    const peers = [benches[1].address];
    await client.apply({ state, layer, epoch: 3, keys, residual, peers }, limits);
    // The other owner has been at the peer only.
    const wide = { ...keys, data: Float64Array.from(keys.data) };
    const share = { index: 1, count: 2 };
    await benches[1].client.product({ state, layer, epoch: 7, share, keys: wide }, limits);
    await expect(client.apply({ state, layer, epoch: 4, keys, residual, peers }, limits)).rejects.toMatchObject({
      code: 'STALE_EPOCH',
    });
    const gone = client.apply({ state, layer, epoch: 7, keys, residual, peers: ['127.0.0.1:1'] }, { timeoutMs: 5000 });
    await expect(gone).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  });
});

it('splits output rows evenly and completely', () => {
  for (const count of [1, 2, 3, 7]) {
    const ranges = Array.from({ length: count }, (_, index) => rowsOf(30, { index, count }));
    expect(ranges[0].start).toBe(0);
    expect(ranges.at(-1)?.end).toBe(30);
    for (const [i, { start, end }] of ranges.entries()) {
      expect(end - start).toBeGreaterThanOrEqual(Math.floor(30 / count));
      expect(end - start).toBeLessThanOrEqual(Math.ceil(30 / count));
      if (i > 0) expect(start).toBe(ranges[i - 1].end);
    }
  }
});
