import {
  connectShardWorker,
  decodeTensor,
  encodeTensor,
  type RunningServer,
  ShardServiceService,
  type ShardWorker,
  type StateRef,
  serve,
  type Tensor,
  TensorAssembler,
} from '@errata/rpc';
import { createEngine, type Engine } from '@errata/tensor';
import { Registry } from 'prom-client';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMetrics, createService, ShardCache } from './index.js';
import { dimensions, MemoryLog } from './testing/memory-log.js';

const { inputs, outputs } = dimensions;
const limits = { timeoutMs: 10_000 };
const layer = 3;

let engine: Engine;
let log: MemoryLog;
let registry: Registry;
let shards: ShardCache;
let server: RunningServer;
let client: ShardWorker;

beforeAll(async () => {
  engine = await createEngine();
});
beforeEach(async () => {
  log = new MemoryLog();
  await start();
});
afterEach(stop);

async function start(memoryBytes = 1e9): Promise<void> {
  registry = new Registry();
  const metrics = createMetrics(registry);
  shards = new ShardCache({ linalg: engine.linalg, store: log, metrics, memoryBytes });
  const implementation = createService({ shards, linalg: engine.linalg, metrics });
  server = await serve('127.0.0.1:0', [
    { name: 'errata.v1.ShardService', definition: ShardServiceService, implementation },
  ]);
  client = connectShardWorker(server.address);
}

async function stop(): Promise<void> {
  client.close();
  await server.stop(100);
}

function random(rows: number, columns: number, seed: number): Tensor {
  let state = (seed * 2654435761) >>> 0;
  const data = Float32Array.from({ length: rows * columns }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return encodeTensor({ rows, columns, data });
}

const at = (streamId: string, seq: number, staged: number[] = []): StateRef => ({
  streamId,
  seq,
  staged: staged.map((s) => ({ seq: s, layers: [layer] })),
});

function record(
  streamId: string,
  seq: number,
  sign: 1 | -1,
  keys: Tensor,
  update: Record<'g' | 'b', Tensor | undefined>,
) {
  log.addEntry({
    streamId,
    seq,
    layer,
    sign,
    keys: decodeTensor(keys, 'keys'),
    g: decodeTensor(update.g, 'g'),
    b: decodeTensor(update.b, 'b'),
    rDiagonal: [],
  });
}

async function applyAndRecord(state: StateRef, seq: number, columns: number, seed = seq) {
  const keys = random(inputs, columns, seed);
  const residual = random(outputs, columns, seed + 1000);
  const response = await client.apply({ state, layer, epoch: 1, keys, residual }, limits);
  record(state.streamId, seq, 1, keys, response);
  return response;
}

/** Three committed batches of 2, 3 and 1 columns. */
async function history(): Promise<string> {
  const streamId = log.addStream();
  for (const [seq, columns] of [
    [1, 2],
    [2, 3],
    [3, 1],
  ]) {
    await applyAndRecord(at(streamId, seq - 1), seq, columns);
    log.addBatch(streamId, seq, seq - 1);
  }
  return streamId;
}

async function materialize(state: StateRef): Promise<Float32Array> {
  let assembler: TensorAssembler | undefined;
  for await (const { chunk } of client.materialize({ state, layer }, limits)) {
    if (chunk === undefined) throw new Error('no chunk');
    assembler ??= new TensorAssembler(chunk);
    assembler.add(chunk);
  }
  return assembler?.matrix().data ?? new Float32Array();
}

const failure = (code: string) => expect.objectContaining({ code });

describe('a shard follows the log', () => {
  it('gives W − W₀ = B Gᵀ of the recorded batches, and exactly zero at the base', async () => {
    const streamId = await history();
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
    const streamId = await history();
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
    await stop();
    await start();
    const afterRestart = await client.apply(request, limits);
    for (const answer of [afterRollback, afterRestart]) {
      expect(answer.g).toEqual(before.g);
      expect(answer.b).toEqual(before.b);
      expect(answer.stats?.rDiagonal).toEqual(before.stats?.rDiagonal);
    }
  });

  it('reads only what it lacks, and follows the lineage to another branch', async () => {
    const streamId = await history();
    const main = await materialize(at(streamId, 3));
    log.addBatch(streamId, 4, 1);
    await applyAndRecord(at(streamId, 1), 4, 2);
    log.reads.length = 0;
    await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(log.reads).toEqual([[4]]);
    await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(log.reads).toEqual([[4]]);
    expect(await materialize(at(streamId, 3))).toEqual(main);
    expect(log.reads).toEqual([[4], [2, 3]]);
  });

  it('builds on staged entries of its own layer only, and forgets them when they are given up', async () => {
    const streamId = await history();
    const committed = await client.stats({ state: at(streamId, 3), layer }, limits);
    await applyAndRecord(at(streamId, 3), 5, 2);
    const staged = await client.stats({ state: at(streamId, 3, [5]), layer }, limits);
    expect(staged.rank).toBe(committed.rank + 2);
    const elsewhere = { streamId, seq: 3, staged: [{ seq: 5, layers: [layer + 1] }] };
    expect(await client.stats({ state: elsewhere, layer }, limits)).toEqual(committed);
  });

  it('takes edits back out exactly, and verifies against the closed form', async () => {
    const streamId = await history();
    const columns = [
      { seq: 1, column: 1 },
      { seq: 2, column: 0 },
    ];
    const response = await client.revoke({ state: at(streamId, 3), layer, epoch: 1, columns }, limits);
    expect(response.stats?.lambdaMin).toBeGreaterThan(0);
    expect(response.stats?.lambdaMin).toBeLessThan(1);
    record(streamId, 4, -1, response.keys as Tensor, response);
    log.addBatch(streamId, 4, 3);
    const verified = await client.verify({ state: at(streamId, 4), layer }, limits);
    expect(verified.survivingColumns).toBe(4);
    expect(verified.weightError).toBeLessThan(1e-5);
    expect(verified.covarianceError).toBeLessThan(1e-9);
    const stats = await client.stats({ state: at(streamId, 4), layer }, limits);
    expect(stats.rank).toBe(8);
    expect(stats.deltaNorm).toBeGreaterThan(0);
    expect(stats.deltaNorm).toBeLessThan(stats.deltaBound);
    expect(stats.spectralNorm).toBeLessThanOrEqual(stats.deltaNorm);
    await expect(client.revoke({ state: at(streamId, 4), layer, epoch: 1, columns }, limits)).rejects.toEqual(
      failure('EDIT_NOT_REVOCABLE'),
    );
  });
});

describe('what is refused', () => {
  it('an older epoch than was seen', async () => {
    const streamId = log.addStream();
    const request = { state: at(streamId, 0), layer, keys: random(inputs, 1, 1), residual: random(outputs, 1, 2) };
    await client.apply({ ...request, epoch: 5 }, limits);
    await expect(client.apply({ ...request, epoch: 4 }, limits)).rejects.toEqual(failure('STALE_EPOCH'));
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
    nan.data.writeFloatLE(Number.NaN, 12);
    const infinite = random(outputs, 2, 1);
    infinite.data.writeFloatLE(Number.POSITIVE_INFINITY, 0);
    for (const change of [
      { keys: random(inputs + 1, 2, 1) },
      { residual: random(outputs, 3, 1) },
      { residual: random(outputs - 1, 2, 1) },
      { keys: { ...good.keys, rows: inputs - 1 } },
      { keys: undefined },
      { keys: nan },
      { residual: infinite },
      { keys: random(inputs, 0, 1), residual: random(outputs, 0, 1) },
    ])
      await expect(client.apply({ ...good, ...change }, limits)).rejects.toEqual(failure('INVALID_TENSOR'));
  });

  it('unknown streams, layers, positions and states that are not named', async () => {
    const streamId = await history();
    const stats = (state: StateRef | undefined, l = layer) => client.stats({ state, layer: l }, limits);
    await expect(stats(undefined)).rejects.toEqual(failure('INVALID_REQUEST'));
    await expect(stats(at('str_none', 0))).rejects.toEqual(failure('UNKNOWN_STREAM'));
    await expect(stats(at(streamId, 0), 7)).rejects.toEqual(failure('INVALID_REQUEST'));
    await expect(stats(at(streamId, 9))).rejects.toEqual(failure('UNKNOWN_POSITION'));
    await expect(stats(at(streamId, 3, [8]))).rejects.toEqual(failure('UNKNOWN_POSITION'));
    expect((await stats(at(streamId, 3))).rank).toBe(6);
  });

  it('a stream whose covariance is not there yet, and one that is too ill-conditioned', async () => {
    const unprepared = log.addStream();
    const stream = await log.getStream(unprepared);
    log.streams.set('str_unprepared', { ...stream, id: 'str_unprepared' });
    await expect(client.stats({ state: at('str_unprepared', 0), layer }, limits)).rejects.toEqual(failure('NOT_READY'));
    const moment = await log.readCovariance();
    moment.data.fill(1);
    const singular = log.addStream({ lambda: 0 });
    await expect(client.stats({ state: at(singular, 0), layer }, limits)).rejects.toEqual(failure('ILL_CONDITIONED'));
  });

  it('a record that does not follow from the log before it; the shard is rebuilt afterwards', async () => {
    const streamId = await history();
    const [entry] = await log.readEntries(streamId, layer, [2]);
    const wrong = { ...entry, seq: 4, g: { ...entry.g, data: entry.g.data.map((x) => 2 * x) } };
    log.addEntry(wrong);
    log.addBatch(streamId, 4, 3);
    await expect(client.stats({ state: at(streamId, 4), layer }, limits)).rejects.toEqual(failure('LOG_CORRUPT'));
    expect((await client.stats({ state: at(streamId, 3), layer }, limits)).rank).toBe(6);
  });
});

describe('resources', () => {
  it('shares an inverse covariance, keeps memory bounded and is right after shards were dropped', async () => {
    const first = await history();
    const expected = await materialize(at(first, 3));
    const second = await history();
    await client.stats({ state: at(second, 3), layer }, limits);
    const values = async () => (await registry.getMetricsAsJSON()) as { name: string; values: { value: number }[] }[];
    const gauge = async (name: string) => (await values()).find((m) => m.name === name)?.values[0].value;
    expect(await gauge('errata_shard_open')).toBe(2);
    expect(await gauge('errata_shard_inverses')).toBe(1);
    await stop();
    await start(15_000);
    for (const streamId of [first, second, first]) {
      await materialize(at(streamId, 3));
      expect(shards.bytes).toBeLessThanOrEqual(30_000);
    }
    expect(await gauge('errata_shard_open')).toBeLessThan(2);
    expect(await materialize(at(first, 3))).toEqual(expected);
  });

  it('serves calls on one shard together and on different states', async () => {
    const streamId = await history();
    const seqs = [3, 0, 2, 1, 3, 2, 0, 1];
    const answers = await Promise.all(seqs.map((seq) => client.stats({ state: at(streamId, seq), layer }, limits)));
    expect(answers.map((a) => a.rank)).toEqual(seqs.map((seq) => [0, 2, 5, 6][seq]));
  });

  it('leaves a call whose deadline has passed while it waited', async () => {
    const streamId = await history();
    const read = log.readEntries.bind(log);
    let release = () => {};
    const blocked = new Promise<void>((resolve) => {
      release = resolve;
    });
    log.readEntries = async (...args) => {
      await blocked;
      return read(...args);
    };
    // A sibling of batch 3, which the shard has not read.
    const [entry] = await read(streamId, layer, [3]);
    log.addEntry({ ...entry, seq: 4 });
    log.addBatch(streamId, 4, 2);
    const slow = client.stats({ state: at(streamId, 4), layer }, limits);
    await expect(client.stats({ state: at(streamId, 3), layer }, { timeoutMs: 100 })).rejects.toEqual(
      failure('DEADLINE_EXCEEDED'),
    );
    release();
    expect((await slow).rank).toBe(6);
  });
});
