import type { EngineProfile } from '../matrix-engine.js';
import { denseGrains, gpuZeros } from './dense.js';
import type { Gpu } from './gpu.js';
import { grainRows, vec4Count } from './limits.js';
import { RowStore } from './row-store.js';

/** Seconds that a timed operation is made large enough to take. */
const enough = 0.01;
/** Operations that are timed beyond the first, so that the submission does not count. */
const repeats = 4;
const runs = 3;

async function fastest(run: () => Promise<unknown>): Promise<number> {
  await run();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const begun = performance.now();
    await run();
    best = Math.min(best, (performance.now() - begun) / 1000);
  }
  return best;
}

/** Seconds of one of several equal operations in a submission. */
async function secondsOf(gpu: Gpu, encode: (encoder: GPUCommandEncoder) => void): Promise<number> {
  const times = async (count: number) =>
    fastest(async () => {
      gpu.submit((encoder) => {
        for (let i = 0; i < count; i++) encode(encoder);
      });
      await gpu.settled();
    });
  const one = await times(1);
  const all = await times(1 + repeats);
  return Math.max(all - one, all / 10) / repeats;
}

interface Measured {
  readonly seconds: number;
  /** Of one operation: floating-point operations, or bytes read and written. */
  readonly work: number;
}

/** A size³ product by the kernel of the updates. */
async function measureProduct(gpu: Gpu, size: number): Promise<Measured> {
  const stride = vec4Count(size);
  const store = await RowStore.open(gpu, denseGrains(size, size));
  const buffers: GPUBuffer[] = [];
  try {
    for (const bytes of [size * stride * 16, size * 4]) buffers.push(await gpu.allocate(bytes));
    const [factor, signs] = buffers;
    const [{ buffer, table, params }] = store.slabs;
    gpu.device.queue.writeBuffer(params, 0, Uint32Array.from([size, stride, stride, size]));
    const pipeline = await gpu.kernels.update();
    const group = gpu.kernels.bind('update', [params, table, buffer, factor, factor, signs]);
    const tiles = Math.ceil(size / grainRows);
    const seconds = await secondsOf(gpu, (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(tiles, tiles);
      pass.end();
    });
    return { seconds, work: 2 * size ** 3 };
  } finally {
    for (const each of buffers) each.destroy();
    store.destroy();
  }
}

async function measureCopy(gpu: Gpu, bytes: number): Promise<Measured> {
  const from = await gpu.allocate(bytes);
  try {
    const to = await gpu.allocate(bytes);
    const seconds = await secondsOf(gpu, (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, bytes));
    to.destroy();
    return { seconds, work: 2 * bytes };
  } finally {
    from.destroy();
  }
}

/** The rate at the least size that takes long enough to be timed, or at the largest. */
async function rate(sizes: { least: number; most: number }, measureAt: (size: number) => Promise<Measured>) {
  for (let size = Math.min(sizes.least, sizes.most); ; size *= 2) {
    const { seconds, work } = await measureAt(size);
    if (seconds >= enough || size * 2 > sizes.most) return work / seconds;
  }
}

async function measure(gpu: Gpu): Promise<EngineProfile> {
  const { bufferBytes } = gpu;
  const tiny = await gpuZeros(gpu, 4, 4, 'fp32');
  const overhead = await fastest(() => tiny.times({ length: 4, count: 1, data: new Float32Array(4) }));
  tiny.dispose();
  const square = Math.floor(Math.sqrt(bufferBytes / 16)) * 2 - 1;
  return gpu.run(async () => ({
    precision: 'fp32',
    matmulFlops: await rate({ least: 256, most: Math.min(4096, square) }, (size) => measureProduct(gpu, size)),
    copyBytes: await rate({ least: 2 ** 24, most: Math.min(2 ** 28, bufferBytes) }, (bytes) => measureCopy(gpu, bytes)),
    overhead,
  }));
}

/** Measures the device when first asked, at a size that grows until a product takes long enough to be timed. */
export function gpuProfiler(gpu: Gpu): () => Promise<EngineProfile> {
  let known: Promise<EngineProfile> | undefined;
  return () => {
    known ??= measure(gpu);
    return known;
  };
}
