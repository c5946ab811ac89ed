import { afterEach, expect, it, vi } from 'vitest';
import { applyAndRecord, at, type Bench, layer, limits, random, record, startBench } from './testing/harness.js';
import { dimensions, type MemoryLog } from './testing/memory-log.js';
import { MemorySnapshots } from './testing/memory-snapshots.js';

const { inputs, outputs } = dimensions;
/** So little that every batch is reason enough for a snapshot. */
const always = { snapshotAfterSeconds: 1e-9 };
const batches = 24;
const benches: Bench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

async function start(log?: MemoryLog, options: Parameters<typeof startBench>[1] = {}): Promise<Bench> {
  const bench = await startBench(log, options);
  benches.push(bench);
  return bench;
}

async function outcomes({ registry }: Bench): Promise<Record<string, number>> {
  const metrics = (await registry.getMetricsAsJSON()) as {
    name: string;
    values: { value: number; labels: Record<string, string> }[];
  }[];
  const counted = metrics.find(({ name }) => name === 'errata_shard_snapshots_total')?.values ?? [];
  return Object.fromEntries(counted.map(({ labels, value }) => [labels.outcome, value]));
}

/** Batches of three columns; the fifth takes two columns of the others out. */
async function history(bench: Bench, peers: readonly string[] = []): Promise<string> {
  const { log, client } = bench;
  const streamId = log.addStream({ precision: 'fp64' });
  for (let seq = 1; seq <= batches; seq++) {
    const state = at(streamId, seq - 1);
    if (seq === 5) {
      const columns = [
        { seq: 1, column: 0 },
        { seq: 3, column: 2 },
      ];
      record(log, streamId, seq, -1, await client.revoke({ state, layer, epoch: 1, columns, peers }, limits));
    } else if (peers.length === 0) await applyAndRecord(bench, state, seq, 3);
    else {
      const [keys, residual] = [random(inputs, 3, seq), random(outputs, 3, seq + 1000)];
      record(log, streamId, seq, 1, await client.apply({ state, layer, epoch: 1, keys, residual, peers }, limits));
    }
    log.addBatch(streamId, seq, seq - 1);
  }
  return streamId;
}

/** Everything that a worker answers at the end of a history. */
async function answers({ client }: Bench, streamId: string, peers: readonly string[] = []) {
  const state = at(streamId, batches);
  const keys = random(inputs, 2, 7);
  const residual = random(outputs, 2, 8);
  const { stats, ...update } = await client.apply({ state, layer, epoch: 1, keys, residual, peers }, limits);
  const { data } = await client.materialize({ state, layer, peers }, limits);
  return { update, rDiagonal: stats.rDiagonal, data, state: await client.stats({ state, layer, peers }, limits) };
}

it('brings a lost shard back by snapshot and suffix as a replay does, bit for bit', async () => {
  const snapshots = new MemorySnapshots();
  const first = await start(undefined, { snapshots, ...always });
  const { log } = first;
  const streamId = await history(first);
  // What came last is appended, and reason for another snapshot, when it is asked for.
  await vi.waitFor(async () => {
    await first.client.stats({ state: at(streamId, batches), layer }, limits);
    expect(Math.max(...snapshots.kept.map(({ seq }) => seq))).toBeGreaterThan(batches - 6);
  }, 10_000);
  const expected = await answers(first, streamId);
  await first.stop();
  benches.length = 0;

  const replaying = await start(log);
  expect(await answers(replaying, streamId)).toEqual(expected);
  expect(await outcomes(replaying)).toEqual({});

  const restoring = await start(log, { snapshots });
  expect(await answers(restoring, streamId)).toEqual(expected);
  expect(await outcomes(restoring)).toEqual({ restored: 1 });

  // Going back beyond it goes through the log again.
  const back = { state: at(streamId, 3), layer };
  const { data } = await restoring.client.materialize(back, limits);
  expect(data).toEqual((await replaying.client.materialize(back, limits)).data);
});

it('passes over damaged ones', async () => {
  const snapshots = new MemorySnapshots();
  const first = await start(undefined, { snapshots, ...always });
  const streamId = await history(first);
  await vi.waitFor(() => expect(snapshots.kept.length).toBeGreaterThan(1), 10_000);
  const expected = await answers(first, streamId);
  await first.stop();
  benches.length = 0;

  const latest = [...snapshots.kept].sort((a, b) => b.seq - a.seq)[0];
  snapshots.damaged.add(latest.id);
  const second = await start(first.log, { snapshots });
  expect(await answers(second, streamId)).toEqual(expected);
  expect(await outcomes(second)).toEqual({ damaged: 1, restored: 1 });
  for (const { id } of snapshots.kept) snapshots.damaged.add(id);
  const third = await start(first.log, { snapshots });
  expect(await answers(third, streamId)).toEqual(expected);
  expect(await outcomes(third)).toEqual({ damaged: snapshots.kept.length });
});

it('keeps and restores the shares of a spread layer', async () => {
  const snapshots = new MemorySnapshots();
  const options = { snapshots, ...always };
  const peer = await start(undefined, options);
  const owner = await start(peer.log, options);
  const streamId = await history(owner, [peer.address]);
  const shares = () => new Set(snapshots.kept.map(({ form }) => form.split('/').at(-1)));
  await vi.waitFor(() => expect([...shares()].sort()).toEqual(['0-of-2', '1-of-2']), 10_000);
  const expected = await answers(owner, streamId, [peer.address]);
  for (const bench of benches.splice(0)) await bench.stop();

  const newPeer = await start(peer.log, { snapshots });
  const newOwner = await start(peer.log, { snapshots });
  expect(await answers(newOwner, streamId, [newPeer.address])).toEqual(expected);
  for (const bench of [newPeer, newOwner]) expect(await outcomes(bench)).toEqual({ restored: 1 });
});

it('goes on where keeping fails', async () => {
  const full = new MemorySnapshots();
  full.saveSnapshot = () => Promise.reject(new Error('the disk is full'));
  const bench = await start(undefined, { snapshots: full, ...always });
  const streamId = await history(bench);
  await vi.waitFor(async () => expect((await outcomes(bench)).failed).toBeGreaterThan(0), 10_000);
  const replaying = await start(bench.log);
  expect(await answers(bench, streamId)).toEqual(await answers(replaying, streamId));
});
