import { TensorError } from '../errors.js';
import type { Vectors } from '../matrix-engine.js';
import type { Scratch } from './bind-groups.js';
import type { Gpu, ScratchName } from './gpu.js';
import { vec4Count } from './limits.js';

/**
 * Puts `count` vectors from `first` on into a shared buffer, each padded with zeros to whole vec4.
 * @param scales one factor a vector
 * @throws TensorError INVALID_TENSOR when a value is beyond single precision
 */
export async function uploadVectors(
  gpu: Gpu,
  name: ScratchName,
  x: Vectors,
  first: number,
  count: number,
  scales?: readonly number[],
): Promise<Scratch> {
  const stride = vec4Count(x.length) * 4;
  const scratch = await gpu.scratch(name, count * stride * 4);
  const host = gpu.host(count * stride);
  for (let j = 0; j < count; j++) {
    const to = j * stride;
    const from = (first + j) * x.length;
    const scale = scales?.[first + j] ?? 1;
    if (scale === 1) host.set(x.data.subarray(from, from + x.length), to);
    else for (let i = 0; i < x.length; i++) host[to + i] = scale * x.data[from + i];
    host.fill(0, to + x.length, to + stride);
  }
  checkSingle(host);
  gpu.device.queue.writeBuffer(scratch.buffer, 0, host);
  return scratch;
}

/** @throws TensorError INVALID_TENSOR when a value became infinite in single precision */
export function checkSingle(values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new TensorError('INVALID_TENSOR', 'a value is beyond single precision, which is all WebGPU computes in');
}
