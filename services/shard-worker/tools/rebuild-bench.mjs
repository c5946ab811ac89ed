#!/usr/bin/env node
// How long a worker that lost a shard of a long stream takes to have it again, by replay and by snapshot and suffix, and
// whether both end with the same bits. The log lies in a Postgres of its own. Prints one JSON line. Needs `tsc -b` first.
//   node services/shard-worker/tools/rebuild-bench.mjs [--d-in 1536] [--d-out 576] [--batches 2000] [--batch 1] [--suffix 200]
import { parseArgs } from 'node:util';
import { createInverse, createState } from '@errata/rls';
import { connectShardWorker } from '@errata/rpc';
import { startStreamServer, writeSyntheticLog } from '@errata/store/testing';
import { createEngine, createMatrixEngine } from '@errata/tensor';
import { Registry } from 'prom-client';
import { startWorker } from '../dist/index.js';
import { random } from '../dist/testing/harness.js';

const { values } = parseArgs({
  options: {
    'd-in': { type: 'string', default: '1536' },
    'd-out': { type: 'string', default: '576' },
    batches: { type: 'string', default: '2000' },
    batch: { type: 'string', default: '1' },
    suffix: { type: 'string', default: '200' },
  },
});
const [inputs, outputs, batches, batch, suffix] = ['d-in', 'd-out', 'batches', 'batch', 'suffix'].map((name) =>
  Number(values[name]),
);
const layer = 3;
const limits = { timeoutMs: 3_600_000 };
const config = { layers: [layer], lambda: 1, mu: 1, covarianceWeight: 1000, covarianceTokens: 1000, batchSize: batch };

const moment = { rows: inputs, columns: inputs, data: new Float32Array(inputs * inputs) };
for (let i = 0; i < inputs; i++)
  for (let j = 0; j < inputs; j++) moment.data[i * inputs + j] = 0.5 ** Math.abs(i - j) * 0.01;

const say = (text) => process.stderr.write(`${text}\n`);
const columnsOf = ({ rows, columns, data }) => ({ length: rows, count: columns, data });

/** What the batches of a stream do to its layer. */
async function madeUp() {
  const parts = { engine: await createMatrixEngine(), linalg: (await createEngine()).linalg };
  const source = { lambda: config.lambda, mu: config.mu, covarianceWeight: config.covarianceWeight };
  const inverse = await createInverse(parts, { ...source, dimension: inputs, moment: moment.data });
  const state = await createState(parts, inverse, { outputs, batch });
  const single = ({ length, count, data }) => ({ rows: length, columns: count, data: new Float32Array(data) });
  const entries = [];
  for (let seq = 1; seq <= batches; seq++) {
    const keys = random(inputs, batch, seq);
    const update = await state.apply(columnsOf(keys), columnsOf(random(outputs, batch, seq + batches)));
    const entry = { keys, g: single(update.g), b: single(update.b), rDiagonal: [...update.rDiagonal] };
    const segment = { seq, sign: 1, keys: columnsOf(keys), g: columnsOf(entry.g), b: columnsOf(entry.b) };
    await state.append({ ...segment, rDiagonal: entry.rDiagonal });
    entries.push(entry);
  }
  state.dispose();
  inverse.dispose();
  await parts.engine.dispose();
  return entries;
}

const { url, store, stream, stop } = await startStreamServer(
  {
    ...{ id: 'm', name: 'm', architecture: 'llama', layers: layer + 1 },
    ...{ hiddenSize: outputs, intermediateSize: inputs },
  },
  { ...config, templates: ['{}'] },
);
try {
  const about = { modelId: 'm', layer, corpusId: 'bench', source: 'default', tokens: 1000, dimension: inputs };
  const { id } = await store.saveCovariance(about, moment);
  await store.bindCovariance(stream.id, layer, id);
  say(`making ${batches} batches`);
  const entries = await madeUp();
  await writeSyntheticLog(url, stream, batches, (seq) => entries[seq - 1]);

  const at = (seq) => ({ streamId: stream.id, seq, staged: [] });
  /** A new worker, its inverse covariance made, and what it is asked. */
  async function withWorker(options, work) {
    const worker = await startWorker({
      ...{ listen: '127.0.0.1:0', store, registry: new Registry(), engine: 'auto', memoryBytes: 16e9, scratch: null },
      ...{ onCrash: () => undefined, snapshots: store, snapshotAfterSeconds: 0, ...options },
    });
    const client = connectShardWorker(worker.server.address);
    await client.prepare({ state: at(0), layer }, limits);
    const result = await work(client);
    client.close();
    await worker.stop();
    return result;
  }
  const rebuilt = async (client) => {
    const begun = performance.now();
    await client.prepare({ state: at(batches), layer }, limits);
    const seconds = (performance.now() - begun) / 1000;
    const state = at(batches);
    const query = { state, layer, epoch: 1, keys: random(inputs, 2, 7), residual: random(outputs, 2, 8) };
    const { g, b } = await client.apply(query, limits);
    const { data } = await client.materialize({ state, layer }, limits);
    return { seconds, bits: Buffer.concat([g.data, b.data, data].map((part) => Buffer.from(part.buffer))) };
  };
  say('replaying');
  const replayed = await withWorker({ snapshots: null }, rebuilt);
  say('keeping a snapshot');
  await withWorker({ snapshotAfterSeconds: 1e-9 }, async (client) => {
    await client.prepare({ state: at(batches - suffix), layer }, limits);
    while ((await store.listSnapshots(stream.id)).length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  });
  const [snapshot] = await store.listSnapshots(stream.id);
  say(`restoring from position ${snapshot.seq}`);
  const restored = await withWorker({}, rebuilt);
  console.log(
    JSON.stringify({
      ...{ inputs, outputs, batches, batch, snapshotAt: snapshot.seq, snapshotBytes: snapshot.bytes },
      replaySeconds: Number(replayed.seconds.toFixed(2)),
      snapshotSeconds: Number(restored.seconds.toFixed(2)),
      identical: restored.bits.equals(replayed.bits),
    }),
  );
} finally {
  await stop();
}
