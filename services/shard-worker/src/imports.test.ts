import type { DenseMatrix } from '@errata/rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relativeDifference } from './testing/course.js';
import { at, type Bench, layer, limits, random, record, startBench } from './testing/harness.js';
import { MemoryLog } from './testing/memory-log.js';

const size = { inputs: 640, outputs: 30 };
const rank = 6;

let log: MemoryLog;
let benches: Bench[];

beforeAll(async () => {
  log = new MemoryLog(size);
  benches = await Promise.all(Array.from({ length: 2 }, () => startBench(log)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.stop())));

const adapter = () => ({ g: random(size.inputs, rank, 5), b: random(size.outputs, rank, 6) });

/** B Gᵀ, column-major, in fp64 rounded once. */
function product({ g, b }: { g: DenseMatrix; b: DenseMatrix }): Float32Array {
  const out = new Float64Array(b.rows * g.rows);
  for (let c = 0; c < g.columns; c++)
    for (let j = 0; j < g.rows; j++)
      for (let i = 0; i < b.rows; i++) out[j * b.rows + i] += b.data[c * b.rows + i] * g.data[c * g.rows + j];
  return new Float32Array(out);
}

async function imported(peers: readonly string[]) {
  const streamId = log.addStream({ precision: 'fp64' });
  const { client } = benches[0];
  const query = { state: at(streamId, 0), layer, epoch: 1, own: false, peers, ...adapter() };
  const update = await client.import(query, limits);
  record(log, streamId, 1, 1, update);
  log.addBatch(streamId, 1, 0);
  return { streamId, update, query };
}

describe.each([
  ['one worker', 0],
  ['two shares', 1],
])('an adapter on %s', (_, count) => {
  const peersOf = () => benches.slice(1, 1 + count).map(({ address }) => address);

  it('is written without keys, and W − W₀ is B A', async () => {
    const peers = peersOf();
    const { client } = benches[0];
    const { streamId, update, query } = await imported(peers);
    expect(update.keys).toMatchObject({ rows: size.inputs, columns: 0 });
    expect(product(update)).toEqual(product(query));
    expect(await client.import(query, limits)).toEqual({ ...update, stats: expect.anything() });
    const state = at(streamId, 1);
    const delta = await client.materialize({ state, layer, peers }, limits);
    expect(relativeDifference(delta.data, product(query))).toBeLessThan(1e-6);
    const verified = await client.verify({ state, layer, peers }, limits);
    expect(verified).toMatchObject({ survivingColumns: rank });
    expect(Math.max(verified.weightError, verified.covarianceError)).toBeLessThan(1e-5);
  });

  it('is gone when its columns are taken out; edits on top of it stay', async () => {
    const peers = peersOf();
    const { client } = benches[0];
    const { streamId, query } = await imported(peers);
    const columns = Array.from({ length: rank }, (_, column) => ({ seq: 1, column }));
    const out = { state: at(streamId, 1), layer, epoch: 1, columns, peers };
    record(log, streamId, 2, -1, await client.revoke(out, limits));
    log.addBatch(streamId, 2, 1);
    const left = await client.materialize({ state: at(streamId, 2), layer, peers }, limits);
    const size0 = Math.hypot(...product(query));
    expect(Math.hypot(...left.data) / size0).toBeLessThan(1e-6);

    const keys = random(size.inputs, 3, 9);
    const residual = random(size.outputs, 3, 10);
    record(
      log,
      streamId,
      3,
      1,
      await client.apply({ state: at(streamId, 1), layer, epoch: 1, keys, residual, peers }, limits),
    );
    log.addBatch(streamId, 3, 1);
    record(log, streamId, 4, -1, await client.revoke({ ...out, state: at(streamId, 3) }, limits));
    log.addBatch(streamId, 4, 3);
    const verified = await client.verify({ state: at(streamId, 4), layer, peers }, limits);
    expect(verified).toMatchObject({ survivingColumns: 3 });
    expect(Math.max(verified.weightError, verified.covarianceError)).toBeLessThan(1e-5);
  });
});

it('refuses factors of another shape, and a stale epoch', async () => {
  const { client } = benches[0];
  const streamId = log.addStream();
  const query = { state: at(streamId, 0), layer, epoch: 2, own: false, ...adapter() };
  await expect(client.import({ ...query, b: random(size.outputs, rank - 1, 1) }, limits)).rejects.toMatchObject({
    code: 'INVALID_TENSOR',
  });
  await client.import(query, limits);
  await expect(client.import({ ...query, epoch: 1 }, limits)).rejects.toMatchObject({ code: 'STALE_EPOCH' });
});
