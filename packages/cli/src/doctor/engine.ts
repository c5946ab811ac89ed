import { createEngine, type Engine } from '@errata/tensor';
import type { Check } from './check.js';

/** Size of the measured product: 2·1024³ ≈ 2.1 GFLOP, long against the overhead of a call. */
const size = 1024;
/** Elements of the measured sum: 3 × 64 MB, far above any cache. */
const length = 16 << 20;
const repeats = 3;

/** Which engine computes here, and how fast: single-precision products and memory traffic. */
export const checkEngine: Check = async () => {
  const engine = await createEngine();
  const { gflops, gigabytes } = await measure(engine);
  const detail = `${engine.name} (${engine.version}): ${gflops.toFixed(0)} GFLOP/s, ${gigabytes.toFixed(1)} GB/s`;
  return engine.fallbackReason === null
    ? { name: 'engine', state: 'ok', detail }
    : {
        name: 'engine',
        state: 'warn',
        detail: `${detail}; native: ${engine.fallbackReason.split('\n')[0]}`,
        remedy: 'install g++ and run "npm run setup" for the native engine',
      };
};

/** The best of a few runs after one to warm up. */
async function measure({ tf }: Engine): Promise<{ gflops: number; gigabytes: number }> {
  const square = tf.randomUniform([size, size]);
  const vector = tf.ones([length]);
  const product = await best(async () => {
    const result = tf.matMul(square as never, square as never);
    await result.data();
    result.dispose();
  });
  const sum = await best(async () => {
    const result = tf.add(vector, vector);
    // One element is read back: copying all of it would be measured too.
    const last = tf.slice(result, [length - 1], [1]);
    await last.data();
    last.dispose();
    result.dispose();
  });
  square.dispose();
  vector.dispose();
  return { gflops: (2 * size ** 3) / product / 1e9, gigabytes: (3 * 4 * length) / sum / 1e9 };
}

async function best(work: () => Promise<void>): Promise<number> {
  await work();
  let seconds = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    await work();
    seconds = Math.min(seconds, (performance.now() - start) / 1000);
  }
  return seconds;
}
