import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyAndRecord, at, type Bench, history, layer, limits, startBench } from './testing/harness.js';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const weights = async (streamId: string, seq: number) =>
  (await bench.client.materialize({ state: at(streamId, seq), layer }, limits)).data;

function apart(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
}

test('is the distance of the weights: of two positions, of two streams, from the unedited model', async () => {
  const { client, log } = bench;
  const one = await history(bench);
  const two = log.addStream();
  await applyAndRecord(bench, at(two, 0), 1, 4);
  log.addBatch(two, 1, 0);
  const between = async (from: readonly [string, number] | null, to: readonly [string, number], common: number) =>
    client.distance({ from: from ? at(...from) : undefined, to: at(...to), layer, common }, limits);
  const last = await weights(one, 3);
  const check = async (found: { distance: number }, expected: number) =>
    expect(found.distance / expected).toBeCloseTo(1, 5);
  await check(await between([one, 1], [one, 3], 1), apart(await weights(one, 1), last));
  await check(await between([one, 3], [two, 1], 0), apart(last, await weights(two, 1)));
  await check(await between(null, [one, 3], 0), apart(last, new Float32Array(last.length)));
  expect(await between([one, 3], [one, 3], 3)).toEqual({ distance: 0, columns: 0 });
  expect((await between([one, 1], [one, 3], 1)).columns).toBe(4);
});

test('refuses positions that do not share what the request says, and staged batches', async () => {
  const { client, log } = bench;
  const one = await history(bench);
  log.addBatch(one, 5, 1);
  const refused = (to: ReturnType<typeof at>, common: number) =>
    expect(client.distance({ from: at(one, 3), to, layer, common }, limits)).rejects;
  await refused(at(one, 5), 2).toMatchObject({ code: 'UNKNOWN_POSITION' });
  await refused(at(one, 1, [2]), 0).toMatchObject({ code: 'INVALID_REQUEST' });
});
