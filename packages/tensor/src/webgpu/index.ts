import type { MatrixEngine } from '../matrix-engine.js';
import { openDevice } from './adapter.js';
import { gpuZeros } from './dense.js';
import { Gpu } from './gpu.js';
import { gpuProfiler } from './profile.js';
import { gpuSymmetric, unsupported } from './symmetric.js';

export interface WebGpuOptions {
  /** What adapters are asked of; Dawn's by default. */
  readonly gpu?: GPU;
  /** Bytes that a buffer may have, where less than the adapter allows. */
  readonly bufferBytes?: number;
}

/**
 * Matrices in fp32 on a WebGPU device, multiplied and updated by kernels of this package. Denormal numbers may count as
 * zero. An error of the device is fatal to the engine: everything under way and all that follows rejects with DEVICE_LOST.
 * @throws TensorError DEVICE_LOST where there is no adapter
 */
export async function createWebGpuEngine(options: WebGpuOptions = {}): Promise<MatrixEngine> {
  const open = await openDevice(options.gpu);
  const gpu = new Gpu(open, options.bufferBytes ?? Number.POSITIVE_INFINITY);
  const profile = gpuProfiler(gpu);
  return {
    name: 'webgpu',
    description: open.description,
    precisions: ['fp32'],
    symmetric: (spec) => gpuSymmetric(gpu, spec),
    zeros: (rows, columns, precision) => gpuZeros(gpu, rows, columns, precision),
    async profile(precision) {
      if (precision !== 'fp32') throw unsupported(precision);
      return profile();
    },
    dispose: () => gpu.dispose(),
  };
}
