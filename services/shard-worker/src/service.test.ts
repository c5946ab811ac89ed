import type { ShardWorker, StateRef } from '@errata/rpc';
import { connectHealth } from '@errata/rpc';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  applyAndRecord,
  at,
  type Bench,
  history,
  layer,
  limits,
  random,
  record,
  startBench,
} from './testing/harness.js';
import { dimensions, type MemoryLog } from './testing/memory-log.js';

const { inputs, outputs } = dimensions;

let bench: Bench;
let log: MemoryLog;
let client: ShardWorker;

async function start(kept?: MemoryLog): Promise<void> {
  bench = await startBench(kept);
  ({ log, client } = bench);
}

beforeAll(() => start());
beforeEach(() => {
  log.reads.length = 0;
});
afterAll(() => bench.stop());

const materialize = async (state: StateRef) => (await client.materialize({ state, layer }, limits)).data;
const failure = (code: string, message: unknown = expect.anything()) => expect.objectContaining({ code, message });

describe('a shard follows the log', () => {
  it('gives W − W₀ = B Gᵀ of the recorded batches, and exactly zero at the base', async () => {
    const streamId = await history(bench);
    const delta = await materialize(at(streamId, 3));
    const expected = new Float64Array(inputs * outputs);
    for (const { g, b } of await log.readEntries(streamId, layer, [1, 2, 3]))
      for (let c = 0; c < g.columns; c++)
        for (let j = 0; j < inputs; j++)
          for (let i = 0; i < outputs; i++)
            expected[j * outputs + i] += b.data[c * outputs + i] * g.data[c * inputs + j];
    expect(delta).toHaveLength(expected.length);
    for (let i = 0; i < expected.length; i++) expect(Math.abs(delta[i] - expected[i])).toBeLessThan(1e-6);
    expect(await materialize(at(streamId, 0))).toEqual(new Float32Array(inputs * outputs));
  });

  it('answers a retry after a restart with the same bytes', async () => {
    const streamId = await history(bench);
    const request = {
      state: at(streamId, 3),
      layer,
      epoch: 1,
      keys: random(inputs, 2, 7),
      residual: random(outputs, 2, 8),
    };
    const before = await client.apply(request, limits);
    await client.stats({ state: at(streamId, 1), layer }, limits);
    const afterRollback = await client.apply(request, limits);
    await bench.stop();
    await start(log);
    const afterRestart = await client.apply(request, limits);
    for (const answer of [afterRollback, afterRestart]) {
      expect(answer.keys).toEqual(before.keys);
      expect(answer.g).toEqual(before.g);
      expect(answer.b).toEqual(before.b);
      expect(answer.stats.rDiagonal).toEqual(before.stats.rDiagonal);
    }
  });

  it('reads only what it lacks, and follows the lineage to another branch', async () => {
    const streamId = await history(bench);
    const main = await materialize(at(streamId, 3));
    log.addBatch(streamId, 4, 1);
    await applyAndRecord(bench, at(streamId, 1), 4, 2);
    log.reads.length = 0;
    await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(log.reads).toEqual([[4]]);
    await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(log.reads).toEqual([[4]]);
    expect(await materialize(at(streamId, 3))).toEqual(main);
    expect(log.reads).toEqual([[4], [2, 3]]);
  });

  it('builds on staged entries of its own layer only, and forgets them when they are given up', async () => {
    const streamId = await history(bench);
    const committed = await client.stats({ state: at(streamId, 3), layer }, limits);
    await applyAndRecord(bench, at(streamId, 3), 5, 2);
    const staged = await client.stats({ state: at(streamId, 3, [5]), layer }, limits);
    expect(staged.rank).toBe(committed.rank + 2);
    const elsewhere = { streamId, seq: 3, staged: [{ seq: 5, layers: [layer + 1] }] };
    expect(await client.stats({ state: elsewhere, layer }, limits)).toEqual(committed);
  });

  it('takes edits back out exactly, and verifies against the closed form', async () => {
    const streamId = await history(bench);
    const columns = [
      { seq: 1, column: 1 },
      { seq: 2, column: 0 },
    ];
    const response = await client.revoke({ state: at(streamId, 3), layer, epoch: 1, columns }, limits);
    expect(response.stats.lambdaMin).toBeGreaterThan(0);
    expect(response.stats.lambdaMin).toBeLessThan(1);
    record(log, streamId, 4, -1, response);
    log.addBatch(streamId, 4, 3);
    const verified = await client.verify({ state: at(streamId, 4), layer }, limits);
    expect(verified.survivingColumns).toBe(4);
    expect(verified.weightError).toBeLessThan(1e-5);
    expect(verified.covarianceError).toBeLessThan(1e-9);
    const stats = await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(stats.rank).toBe(8);
    expect(stats.deltaNorm).toBeGreaterThan(0);
    expect(stats.deltaNorm).toBeLessThan(stats.deltaBound);
    expect(stats.boundShare).toBeCloseTo(stats.deltaNorm / stats.deltaBound, 12);
    expect(stats.spectralNorm).toBeLessThanOrEqual(stats.deltaNorm);
    expect(stats.symmetryError).toBeLessThan(1e-12);
    await expect(client.revoke({ state: at(streamId, 4), layer, epoch: 1, columns }, limits)).rejects.toEqual(
      failure('EDIT_NOT_REVOCABLE'),
    );
  });

  it('keeps the state through a fold and a refresh', async () => {
    const streamId = await history(bench);
    const query = { state: at(streamId, 3), layer };
    const before = await materialize(query.state);
    expect((await client.fold(query, limits)).rank).toBe(6);
    const { deviation } = await client.refresh(query, limits);
    expect(deviation).toBeLessThan(1e-9);
    const after = await materialize(query.state);
    for (let i = 0; i < before.length; i++) expect(Math.abs(after[i] - before[i])).toBeLessThan(1e-6);
    expect((await client.verify(query, limits)).covarianceError).toBeLessThan(1e-9);
    await expect(bench.metric('errata_shard_folds_total')).resolves.toBe(1);
    await expect(bench.metric('errata_shard_refreshes_total')).resolves.toBe(1);
  });

  it('weighs columns: the record holds keys scaled by the root of their weight', async () => {
    const streamId = log.addStream();
    const query = { state: at(streamId, 0), layer, epoch: 1 };
    const batch = { keys: random(inputs, 2, 1), residual: random(outputs, 2, 2) };
    const plain = await client.apply({ ...query, ...batch }, limits);
    const weighed = await client.apply({ ...query, ...batch, weights: [4, 1] }, limits);
    expect(plain.keys).toEqual(batch.keys);
    const scaled = batch.keys.data.map((x, i) => (i < inputs ? 2 * x : x));
    expect(weighed.keys.data).toEqual(scaled);
    expect(weighed.stats.rDiagonal[0]).toBeGreaterThan(plain.stats.rDiagonal[0]);
    record(log, streamId, 1, 1, weighed);
    expect((await client.verify({ state: at(streamId, 0, [1]), layer }, limits)).weightError).toBeLessThan(1e-5);
  });

  it('prepares a layer, and says what it made', async () => {
    const streamId = await history(bench);
    const prepared = await client.prepare({ state: at(streamId, 3), layer }, limits);
    expect(prepared).toMatchObject({ lambda: 0.2, requestedLambda: 0.2, precision: 'fp64', rank: 6 });
    expect(prepared.condition).toBeGreaterThan(1);
    expect(prepared.bytes).toBeGreaterThan(2 * 8 * (inputs * inputs) * 0.5);
  });
});

describe('what is refused', () => {
  it('an older epoch than was seen', async () => {
    const streamId = log.addStream();
    const request = { state: at(streamId, 0), layer, keys: random(inputs, 1, 1), residual: random(outputs, 1, 2) };
    await client.apply({ ...request, epoch: 5 }, limits);
    await expect(client.apply({ ...request, epoch: 4 }, limits)).rejects.toEqual(failure('STALE_EPOCH'));
    const share = { index: 1, count: 2 };
    const keys = { ...request.keys, data: Float64Array.from(request.keys.data) };
    const product = client.product({ state: at(streamId, 0), layer, epoch: 4, share, keys }, limits);
    await expect(product).rejects.toEqual(failure('STALE_EPOCH'));
    await expect(client.apply({ ...request, epoch: 4, layer: 4 }, limits)).resolves.toBeDefined();
    await client.apply({ ...request, epoch: 6 }, limits);
  });

  it('tensors that do not fit or are not numbers', async () => {
    const streamId = log.addStream();
    const good = {
      state: at(streamId, 0),
      layer,
      epoch: 1,
      keys: random(inputs, 2, 1),
      residual: random(outputs, 2, 2),
    };
    const nan = random(inputs, 2, 1);
    nan.data[inputs + 3] = Number.NaN;
    const infinite = random(outputs, 2, 1);
    infinite.data[1] = Number.POSITIVE_INFINITY;
    for (const [change, message] of [
      [{ keys: random(inputs + 1, 2, 1) }, 'keys: 21 × 2, but the layer needs 20 × 2'],
      [{ residual: random(outputs, 3, 1) }, 'residual: 6 × 3, but the layer needs 6 × 2'],
      [{ residual: random(outputs - 1, 2, 1) }, 'residual: 5 × 2, but the layer needs 6 × 2'],
      [{ keys: { ...good.keys, rows: inputs - 1 } }, 'keys is 19 × 2 but holds 160 bytes instead of 152'],
      [{ keys: nan }, 'keys: row 3, column 1 is NaN, not a finite number'],
      [{ residual: infinite }, 'residual: row 1, column 0 is Infinity, not a finite number'],
      [{ keys: random(inputs, 0, 1), residual: random(outputs, 0, 1) }, 'a batch has at least one column'],
      [{ weights: [1] }, 'weights: 1 for 2 columns'],
      [{ weights: [1, 0] }, 'weights: column 1 has 0, not a positive number'],
    ] as const)
      await expect(client.apply({ ...good, ...change }, limits)).rejects.toEqual(failure('INVALID_TENSOR', message));
  });

  it('more than fits into one request', async () => {
    const streamId = log.addStream();
    const columns = Array.from({ length: 4097 }, (_, column) => ({ seq: 1, column }));
    await expect(client.revoke({ state: at(streamId, 0), layer, epoch: 1, columns }, limits)).rejects.toEqual(
      failure('PAYLOAD_TOO_LARGE', '4097 columns at once, above the limit of 4096'),
    );
    const keys = { rows: 2 ** 13, columns: 2 ** 12 + 1, data: new Float32Array(2 ** 13 * (2 ** 12 + 1)) };
    const residual = random(outputs, 1, 1);
    await expect(client.apply({ state: at(streamId, 0), layer, epoch: 1, keys, residual }, limits)).rejects.toEqual(
      failure('PAYLOAD_TOO_LARGE', expect.stringContaining('keys is 8192 × 4097: 134250496 bytes')),
    );
  });

  it('unknown streams, layers, positions, shares and states that are not named', async () => {
    const streamId = await history(bench);
    const stats = (state: StateRef | undefined, l = layer) => client.stats({ state, layer: l }, limits);
    await expect(stats(undefined)).rejects.toEqual(failure('INVALID_REQUEST'));
    await expect(stats(at('str_none', 0))).rejects.toEqual(failure('UNKNOWN_STREAM'));
    await expect(stats(at(streamId, 0), 7)).rejects.toEqual(failure('INVALID_REQUEST'));
    await expect(stats(at(streamId, 9))).rejects.toEqual(failure('UNKNOWN_POSITION'));
    const query = { state: at(streamId, 0), layer };
    for (const wrong of [
      { share: { index: 2, count: 2 } },
      { share: { index: 0, count: 65 } },
      { share: { index: 0, count: outputs + 1 } },
      { share: { index: 0, count: 2 }, peers: ['127.0.0.1:1'] },
      { peers: ['nowhere'] },
    ])
      await expect(client.stats({ ...query, ...wrong }, limits)).rejects.toEqual(failure('INVALID_REQUEST'));
    expect((await stats(at(streamId, 3))).rank).toBe(6);
  });

  it('a state whose entries the log lacks', async () => {
    const streamId = await history(bench);
    await expect(client.stats({ state: at(streamId, 3, [8]), layer }, limits)).rejects.toEqual(
      failure('SEQUENCE_GAP', expect.stringContaining(`the log of ${streamId} lacks layer 3 of`)),
    );
    log.addBatch(streamId, 8, 3);
    await expect(client.stats({ state: at(streamId, 8), layer }, limits)).rejects.toEqual(failure('SEQUENCE_GAP'));
    expect((await client.stats({ state: at(streamId, 3), layer }, limits)).rank).toBe(6);
  });

  it('a stream whose covariance is not there yet, and one that is too ill-conditioned', async () => {
    const unprepared = log.addStream({}, null);
    await expect(client.stats({ state: at(unprepared, 0), layer }, limits)).rejects.toEqual(failure('NOT_READY'));
    log.moments.set(
      'singular',
      log.moment(() => 1),
    );
    const singular = log.addStream({ lambda: 0 }, 'singular');
    await expect(client.prepare({ state: at(singular, 0), layer }, limits)).rejects.toEqual(failure('ILL_CONDITIONED'));
    const raised = log.addStream({ lambda: 0, conditioning: 'raise-lambda' }, 'singular');
    const prepared = await client.prepare({ state: at(raised, 0), layer }, limits);
    expect(prepared.requestedLambda).toBe(0);
    expect(prepared.lambda).toBeGreaterThan(0);
    expect(prepared.condition).toBeLessThanOrEqual(1e10);
  });

  it('a record that does not follow from the log before it; the shard is rebuilt afterwards', async () => {
    const streamId = await history(bench);
    const [entry] = await log.readEntries(streamId, layer, [2]);
    const wrong = { ...entry, seq: 4, g: { ...entry.g, data: entry.g.data.map((x) => 2 * x) } };
    log.addEntry(wrong);
    log.addBatch(streamId, 4, 3);
    await expect(client.stats({ state: at(streamId, 4), layer }, limits)).rejects.toEqual(failure('LOG_CORRUPT'));
    expect((await client.stats({ state: at(streamId, 3), layer }, limits)).rank).toBe(6);
  });
});

it('answers grpc.health.v1', async () => {
  const health = connectHealth(bench.address, 'shard-worker');
  await expect(health.check(limits)).resolves.toBeUndefined();
  health.close();
});
