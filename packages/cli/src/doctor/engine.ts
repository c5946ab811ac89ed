import { createEngine, createMatrixEngine, type Engine } from '@errata/tensor';
import type { Check } from './check.js';

/** Size of the measured product: 2·1024³ ≈ 2.1 GFLOP, long against the overhead of a call. */
const size = 1024;
/** Elements of the measured sum: 3 × 64 MB, far above any cache. */
const length = 16 << 20;
const repeats = 3;

type Env = Readonly<Record<string, string | undefined>>;

/** Which engine runs the model here and why, and how fast it is: single-precision products and memory traffic. */
export function checkEngine(env: Env): Check {
  return async () => {
    const asked = env.ERRATA_ENGINE ?? 'auto';
    // The model has no WebGPU engine: its runtime refuses the word, so what it would use is what is looked at.
    const engine = await createEngine({ prefer: asked === 'native' || asked === 'wasm' ? asked : 'auto' });
    const { gflops, gigabytes } = await measure(engine);
    const rates = `${gflops.toFixed(0)} GFLOP/s, ${gigabytes.toFixed(1)} GB/s`;
    const detail = `${engine.name} (${engine.version}): ${rates}; ${reasonOf(engine, asked)}`;
    return engine.fallbackReason === null
      ? { name: 'engine', state: 'ok', detail }
      : {
          name: 'engine',
          state: 'warn',
          detail,
          remedy: 'install g++ and run "npm run setup" for the native engine',
        };
  };
}

/** Which engine holds the large matrices of shards and why, with the rates its cost model goes by. */
export function checkMatrixEngine(env: Env): Check {
  return async () => {
    const asked = env.ERRATA_ENGINE ?? 'auto';
    const prefer = asked === 'native' || asked === 'wasm' || asked === 'webgpu' ? asked : 'auto';
    const engine = await createMatrixEngine({ prefer });
    try {
      const rates = [];
      for (const precision of engine.precisions) {
        const { matmulFlops, copyBytes, overhead } = await engine.profile(precision);
        rates.push(
          `${precision} ${(matmulFlops / 1e9).toFixed(0)} GFLOP/s, ${(copyBytes / 1e9).toFixed(1)} GB/s, ${(overhead * 1e6).toFixed(0)} µs an operation`,
        );
      }
      const why = prefer === 'auto' ? `the best that loads: ${order}` : askedFor(asked);
      return {
        name: 'matrix engine',
        state: 'ok',
        detail: `${engine.name} (${engine.description}): ${rates.join('; ')}; ${why}`,
      };
    } finally {
      await engine.dispose();
    }
  };
}

const order = 'native, else wasm';

function askedFor(engine: string): string {
  return `ERRATA_ENGINE asks for ${engine}`;
}

function reasonOf({ name, fallbackReason }: Engine, asked: string): string {
  if (fallbackReason !== null) return `the native binding does not load: ${fallbackReason.split('\n')[0]}`;
  return asked === name ? askedFor(asked) : `the best that loads: ${order}`;
}

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
