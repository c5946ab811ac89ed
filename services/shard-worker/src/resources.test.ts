import type { Worker } from 'node:worker_threads';
import { connectHealth } from '@errata/rpc';
import { afterEach, describe, expect, it } from 'vitest';
import { startEngineThread } from './engine-client.js';
import { at, type Bench, history, layer, limits, random, startBench } from './testing/harness.js';
import { MemoryLog } from './testing/memory-log.js';

// Large enough for a C₀ that takes many times as long as a health check.
const wide = { inputs: 1200, outputs: 8 };

/** For layers so small that the time goes into starting an engine. */
const small = { engine: 'wasm' } as const;

let bench: Bench | undefined;

afterEach(async () => {
  await bench?.stop();
  bench = undefined;
});

const failure = (code: string) => expect.objectContaining({ code });

/** Resolves when so many jobs wait or run. */
async function queueOf(length: number): Promise<void> {
  while ((await bench?.metric('errata_shard_engine_queue_length')) !== length)
    await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('memory', () => {
  it('shares an inverse covariance, is bounded, and what was dropped comes back right', async () => {
    bench = await startBench(new MemoryLog(), small);
    const first = await history(bench);
    const query = (streamId: string) => ({ state: at(streamId, 3), layer });
    const expected = await bench.client.materialize(query(first), limits);
    const second = await history(bench);
    await bench.client.stats(query(second), limits);
    expect(await bench.metric('errata_shard_open')).toBe(2);
    expect(await bench.metric('errata_shard_inverses')).toBe(1);
    const { log } = bench;
    const needed = (await bench.client.prepare(query(second), limits)).bytes;
    await bench.stop();
    // Too little for two shards, enough for one and for making its inverse.
    const memoryBytes = Math.ceil(1.3 * needed);
    bench = await startBench(log, { ...small, memoryBytes });
    for (const streamId of [first, second, first]) {
      await bench.client.materialize(query(streamId), limits);
      expect(bench.worker.shards.bytes).toBeLessThanOrEqual(memoryBytes);
    }
    expect(await bench.metric('errata_shard_open')).toBe(1);
    expect(await bench.client.materialize(query(first), limits)).toEqual(expected);
  });

  it('refuses a layer that does not fit even alone', async () => {
    bench = await startBench(new MemoryLog({ inputs: 600, outputs: 6 }), { ...small, memoryBytes: 2_000_000 });
    const reads: string[] = [];
    const read = bench.log.readCovariance.bind(bench.log);
    bench.log.readCovariance = (id) => {
      reads.push(id);
      return read(id);
    };
    const query = { state: at(bench.log.addStream(), 0), layer };
    await expect(bench.client.prepare(query, limits)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      retryable: false,
      message: expect.stringMatching(
        /^the inverse covariance of 600 inputs, share 0 of 1 needs \d{7} bytes and SHARD_MEMORY_BYTES is 2000000: .*row shards.*raise the limit/,
      ),
    });
    expect(reads).toEqual([]);
  });
});

describe('calls at the same time', () => {
  it('serves them on one shard and on different states', async () => {
    bench = await startBench(new MemoryLog(), small);
    const { client } = bench;
    const streamId = await history(bench);
    const seqs = [3, 0, 2, 1, 3, 2, 0, 1];
    const answers = await Promise.all(seqs.map((seq) => client.stats({ state: at(streamId, seq), layer }, limits)));
    expect(answers.map((a) => a.rank)).toEqual(seqs.map((seq) => [0, 2, 5, 6][seq]));
  });

  it('leaves a call whose deadline has passed while it waited', async () => {
    bench = await startBench(new MemoryLog(), small);
    const { log, client } = bench;
    const streamId = await history(bench);
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

describe('the engine thread', () => {
  it('leaves health answering while it computes', async () => {
    bench = await startBench(new MemoryLog(wide));
    const health = connectHealth(bench.address, 'shard-worker');
    await health.check(limits);
    const events: string[] = [];
    const query = { state: at(bench.log.addStream(), 0), layer };
    const update = bench.client.prepare(query, limits).then(() => events.push('prepared'));
    await queueOf(1);
    for (let i = 0; i < 3; i++) {
      await health.check(limits);
      events.push('healthy');
    }
    await update;
    expect(events).toEqual(['healthy', 'healthy', 'healthy', 'prepared']);
    health.close();
  });

  it('stops an inversion that no one waits for any more, and drops what waited behind it', async () => {
    bench = await startBench(new MemoryLog(wide));
    const { client, log } = bench;
    const abort = new AbortController();
    const given = { ...limits, signal: abort.signal };
    const query = (lambda: number) => ({ state: at(log.addStream({ lambda }), 0), layer });
    const running = client.prepare(query(0.2), given);
    const waiting = client.prepare(query(0.3), given);
    await queueOf(2);
    const order: string[] = [];
    running.catch(() => order.push('cancelled'));
    abort.abort();
    await expect(running).rejects.toEqual(failure('CANCELLED'));
    await expect(waiting).rejects.toEqual(failure('CANCELLED'));
    await queueOf(0);
    expect(await bench.metric('errata_shard_inverses')).toBe(0);
    // What is asked for again is made from the start.
    const small = await client.prepare(query(0.4), limits);
    expect(small.lambda).toBe(0.4);
  });

  it('is started again when it ends by itself; the log brings everything back', async () => {
    const threads: Worker[] = [];
    bench = await startBench(new MemoryLog(wide), {
      startThread: (prefer) => {
        const thread = startEngineThread(prefer);
        threads.push(thread);
        return thread;
      },
    });
    const { client, log } = bench;
    const streamId = await history(bench, wide);
    const query = { state: at(streamId, 3), layer };
    const before = await client.materialize(query, limits);
    const request = { ...query, epoch: 1, keys: random(wide.inputs, 2, 7), residual: random(wide.outputs, 2, 8) };
    const update = await client.apply(request, limits);
    const another = { state: at(log.addStream({ lambda: 0.3 }), 0), layer };
    const lost = expect.objectContaining({ code: 'NOT_READY', retryable: true });
    const running = expect(client.prepare(another, limits)).rejects.toEqual(lost);
    await queueOf(1);
    const waiting = expect(client.verify(query, limits)).rejects.toEqual(lost);
    await queueOf(2);
    await threads[0].terminate();
    await running;
    await waiting;
    expect((await client.materialize(query, limits)).data).toEqual(before.data);
    const again = await client.apply(request, limits);
    for (const name of ['keys', 'g', 'b'] as const) expect(again[name].data).toEqual(update[name].data);
    expect(threads).toHaveLength(2);
    expect(await bench.metric('errata_shard_engine_crashes_total')).toBe(1);
  });
});
