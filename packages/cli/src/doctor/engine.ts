import { type Adapter, createEngine, createMatrixEngine, type Engine } from '@errata/tensor';
import type { Check, Rates } from './check.js';
import { candidates, engineChoice, type NativeState } from './engine-choice.js';

/** Size of the measured product: 2·1024³ ≈ 2.1 GFLOP, long against the overhead of a call. */
const size = 1024;
/** Elements of the measured sum: 3 × 64 MB, far above any cache. */
const length = 16 << 20;
const repeats = 3;

type Env = Readonly<Record<string, string | undefined>>;

/** Which engine runs the model here and why, and how fast it is: single-precision products and memory traffic. */
export function checkEngine(env: Env, adapter: Adapter): Check {
  return async () => {
    const asked = engineChoice(env.ERRATA_ENGINE);
    const native = await nativeState();
    const considered = candidates(asked, native, adapter);
    const engine = await createEngine({ prefer: asked });
    try {
      const rates = await measure(engine);
      return {
        name: 'engine',
        state: engine.fallbackReason === null ? 'ok' : 'warn',
        detail: `${engine.name} (${engine.version}): ${ratesText(rates)}`,
        candidates: considered,
        rates: [rates],
        ...(engine.fallbackReason !== null && { remedy: 'install g++ and run "npm run setup" for the native engine' }),
      };
    } finally {
      await engine.dispose();
    }
  };
}

/** Which engine holds the large matrices of shards and why, with the rates its cost model goes by. */
export function checkMatrixEngine(env: Env, adapter: Adapter): Check {
  return async () => {
    const asked = engineChoice(env.ERRATA_ENGINE);
    const considered = candidates(asked, await nativeState(), adapter, 'matrices');
    const engine = await createMatrixEngine({ prefer: asked });
    try {
      const rates: Rates[] = [];
      const texts = [];
      for (const precision of engine.precisions) {
        const { matmulFlops, copyBytes, overhead } = await engine.profile(precision);
        const found = { precision, gflops: matmulFlops / 1e9, gigabytesPerSecond: copyBytes / 1e9 };
        rates.push(found);
        texts.push(`${precision} ${ratesText(found)}, ${(overhead * 1e6).toFixed(0)} µs an operation`);
      }
      return {
        name: 'matrix engine',
        state: 'ok',
        detail: `${engine.name} (${engine.description}): ${texts.join('; ')}`,
        candidates: considered,
        rates,
      };
    } finally {
      await engine.dispose();
    }
  };
}

function ratesText({ gflops, gigabytesPerSecond }: Rates): string {
  return `${gflops.toFixed(0)} GFLOP/s, ${gigabytesPerSecond.toFixed(1)} GB/s`;
}

let known: Promise<NativeState> | undefined;

/** Whether the native binding loads, tried once. */
function nativeState(): Promise<NativeState> {
  known ??= createEngine({ prefer: 'native' }).then(
    ({ version }) => ({ version }),
    (error: unknown) => ({ missing: (error instanceof Error ? error.message : String(error)).split('\n')[0] }),
  );
  return known;
}

/** The best of a few runs after one to warm up. */
async function measure({ tf }: Engine): Promise<Rates> {
  const square = tf.randomUniform([size, size]);
  const vector = tf.ones([length]);
  // One element is read back: copying all of it would be measured too.
  const settled = async (result: ReturnType<typeof tf.tensor>): Promise<void> => {
    const last = tf.slice(
      result,
      result.shape.map((n) => n - 1),
      result.shape.map(() => 1),
    );
    await last.data();
    tf.dispose([last, result]);
  };
  const product = await best(() => settled(tf.matMul(square as never, square as never)));
  const sum = await best(() => settled(tf.add(vector, vector)));
  tf.dispose([square, vector]);
  return {
    precision: 'fp32',
    gflops: (2 * size ** 3) / product / 1e9,
    gigabytesPerSecond: (3 * 4 * length) / sum / 1e9,
  };
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
