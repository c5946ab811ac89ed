import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** Bytes of each thread's block: well above any cache, and paged in before it is timed. */
const BLOCK = 1 << 26;
const REPEATS = 4;

/** A thread that copies its block when the counter is raised, and says how long that took. */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const gate = new Int32Array(workerData.gate);
const from = new Float64Array(workerData.block / 8).fill(1);
const to = from.slice();
parentPort.postMessage(0);
for (let round = 0; round < workerData.repeats; round++) {
  Atomics.wait(gate, 0, round);
  const begun = performance.now();
  to.set(from);
  parentPort.postMessage(performance.now() - begun);
}
`;

/**
 * Bytes read plus bytes written a second when all cores copy at once, the best of a few tries: what a step's traffic is
 * held against. An engine's own copy may use one thread, or pay for fresh pages.
 */
export async function copyRate(): Promise<number> {
  const threads = availableParallelism();
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { gate: gate.buffer, block: BLOCK, repeats: REPEATS };
  const workers = Array.from({ length: threads }, () => new Worker(program, { eval: true, workerData }));
  try {
    await Promise.all(workers.map(answer));
    let best = Number.POSITIVE_INFINITY;
    for (let round = 1; round <= REPEATS; round++) {
      const answers = workers.map(answer);
      Atomics.store(gate, 0, round);
      Atomics.notify(gate, 0);
      best = Math.min(best, Math.max(...(await Promise.all(answers))));
    }
    return (2 * BLOCK * threads) / (best / 1000);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function answer(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
