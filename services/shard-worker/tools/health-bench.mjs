#!/usr/bin/env node
// Latency of grpc.health.v1 while updates of a wide layer run. One process serves, this one asks; prints one JSON line.
//   node services/shard-worker/tools/health-bench.mjs [--d-in 14336] [--d-out 4096] [--batch 100] [--updates 10]
import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { connectHealth, connectShardWorker } from '@errata/rpc';
import { random } from '../dist/testing/harness.js';

if (!isMainThread) {
  const health = connectHealth(workerData.address, 'shard-worker');
  let over = false;
  parentPort.once('message', () => {
    over = true;
  });
  await health.check({ timeoutMs: 60_000 });
  parentPort.postMessage('ready');
  const latencies = [];
  while (!over) {
    const start = performance.now();
    await health.check({ timeoutMs: 60_000 });
    latencies.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, workerData.intervalMs));
  }
  health.close();
  parentPort.postMessage(latencies);
  process.exit();
}

const { values } = parseArgs({
  options: {
    'd-in': { type: 'string', default: '14336' },
    'd-out': { type: 'string', default: '4096' },
    batch: { type: 'string', default: '100' },
    updates: { type: 'string', default: '10' },
    'interval-ms': { type: 'string', default: '10' },
    engine: { type: 'string', default: 'auto' },
    'memory-bytes': { type: 'string', default: '16000000000' },
  },
});
const number = (name) => Number(values[name]);
const [inputs, outputs, batch] = [number('d-in'), number('d-out'), number('batch')];
const limits = { timeoutMs: 3_600_000 };

const server = fork(new URL('./health-bench-server.mjs', import.meta.url), {
  env: {
    ...process.env,
    BENCH: JSON.stringify({ inputs, outputs, engine: values.engine, memoryBytes: number('memory-bytes') }),
  },
});
server.on('exit', (code) => {
  if (code) process.exitCode = code;
});
const { address, engine, streamId } = await new Promise((resolve, reject) => {
  server.once('message', resolve);
  server.once('exit', (code) => reject(new Error(`the server ended with code ${code}`)));
});
const client = connectShardWorker(address);

function summary(latencies) {
  const sorted = latencies.sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const round = (ms) => Math.round(ms * 10) / 10;
  return { checks: sorted.length, p50Ms: round(at(0.5)), p99Ms: round(at(0.99)), maxMs: round(sorted.at(-1)) };
}

/** Asks for health, from a thread of its own, while some work runs. */
async function during(work) {
  const asking = new Worker(new URL(import.meta.url), { workerData: { address, intervalMs: number('interval-ms') } });
  await new Promise((resolve) => asking.once('message', resolve));
  const result = await work();
  const latencies = new Promise((resolve) => asking.once('message', resolve));
  asking.postMessage('stop');
  return { result, ...summary(await latencies) };
}

try {
  const state = { streamId, seq: 0, staged: [] };
  const layer = 3;
  const preparing = await during(() => client.prepare({ state, layer }, limits));
  const updating = await during(async () => {
    const seconds = [];
    for (let i = 0; i < number('updates'); i++) {
      const keys = random(inputs, batch, i + 1);
      const residual = random(outputs, batch, i + 1001);
      const update = await client.apply({ state, layer, epoch: 1, keys, residual }, limits);
      seconds.push(update.stats.seconds);
    }
    return seconds;
  });
  const { result: prepared, ...whilePreparing } = preparing;
  const { result: seconds, ...whileUpdating } = updating;
  const medianSeconds = seconds.sort((a, b) => a - b)[seconds.length >> 1];
  console.log(
    JSON.stringify({
      dIn: inputs,
      dOut: outputs,
      batch,
      engine,
      precision: prepared.precision,
      prepareSeconds: prepared.seconds,
      applySeconds: medianSeconds,
      whilePreparing,
      whileUpdating,
    }),
  );
} finally {
  client.close();
  server.send('stop');
}
