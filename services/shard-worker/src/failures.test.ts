import { Worker } from 'node:worker_threads';
import { afterEach, expect, it } from 'vitest';
import { startEngineThread } from './engine-client.js';
import { applyAndRecord, at, type Bench, history, layer, limits, startBench } from './testing/harness.js';
import { MemoryLog } from './testing/memory-log.js';

let bench: Bench | undefined;

afterEach(async () => {
  await bench?.stop();
  bench = undefined;
});

/** The thread whose device is lost at the first fold. */
function startLossyThread(): Worker {
  return new Worker(new URL('../dist/testing/lossy-engine-thread.js', import.meta.url));
}

it('takes a lost device for a passing failure, and goes on with another engine', async () => {
  let starts = 0;
  const reasons: string[] = [];
  bench = await startBench(new MemoryLog(), {
    startThread: (prefer) => (starts++ === 0 ? startLossyThread() : startEngineThread(prefer)),
    onCrash: (reason) => reasons.push(reason.message),
  });
  const { client } = bench;
  const streamId = await history(bench);
  const query = { state: at(streamId, 3), layer };
  const before = await client.materialize(query, limits);
  const lost = { code: 'NOT_READY', retryable: true, message: expect.stringContaining('lost') };
  await expect(client.fold(query, limits)).rejects.toMatchObject(lost);
  // The thread may take a moment to end.
  while ((await bench.metric('errata_shard_engine_crashes_total')) !== 1)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(reasons).toEqual(['the device was lost: for a test']);
  expect(bench.worker.shards.bytes).toBe(0);
  expect((await client.fold(query, limits)).rank).toBe(6);
  const after = await client.materialize(query, limits);
  for (let i = 0; i < before.data.length; i++) expect(Math.abs(after.data[i] - before.data[i])).toBeLessThan(1e-6);
  expect(starts).toBe(2);
});

it('does not start without its engine, and says why', async () => {
  const start = startBench(new MemoryLog(), {
    startThread: () => new Worker("throw new Error('no such card')", { eval: true }),
  });
  await expect(start).rejects.toThrowError(/^no such card$/);
});

it('gives an inversion the memory of idle shards, and refuses one that has none', async () => {
  const wide = { inputs: 600, outputs: 6 };
  const log = new MemoryLog(wide);
  bench = await startBench(log);
  const streams: string[] = [];
  for (const seq of [1, 2]) {
    const streamId = log.addStream();
    streams.push(streamId);
    await applyAndRecord(bench, at(streamId, 0), seq, 2, wide);
    log.addBatch(streamId, seq, 0);
    await bench.client.fold({ state: at(streamId, seq), layer }, limits);
  }
  const queries = streams.map((streamId, i) => ({ state: at(streamId, i + 1), layer }));
  const { bytes } = bench.worker.shards;
  await bench.stop();

  // Both fit, but the panels of an inversion only without the other.
  bench = await startBench(log, { memoryBytes: bytes + 500_000 });
  for (const query of queries) await bench.client.fold(query, limits);
  expect(await bench.metric('errata_shard_open')).toBe(2);
  expect((await bench.client.verify(queries[0], limits)).covarianceError).toBeLessThan(1e-9);
  expect(await bench.metric('errata_shard_open')).toBe(1);
  await bench.stop();

  // Enough to open a layer, too little once it has a C of its own.
  bench = await startBench(log, { memoryBytes: 9_100_000 });
  await bench.client.fold(queries[0], limits);
  await expect(bench.client.verify(queries[0], limits)).rejects.toMatchObject({
    code: 'OUT_OF_MEMORY',
    message: expect.stringMatching(/inversion of 600 × 600 needs \d+ bytes.*SHARD_MEMORY_BYTES, SHARD_SCRATCH_DIR/),
  });
});
