import type { Vectors } from '../matrix-engine.js';
import type { Gpu } from './gpu.js';
import { updateColumns, vec4Count } from './limits.js';
import type { RowStore } from './row-store.js';
import { uploadVectors } from './vectors.js';

/** Fewest columns of a pass, which keep the kernel busy for the bytes it moves. */
const leastColumns = 64;

/** Columns of a pass: what is uploaded stays below a tenth of the matrix, and within a buffer. */
function passColumns(gpu: Gpu, left: Vectors, right: Vectors): number {
  const longest = Math.max(left.length, right.length);
  const tenth = Math.floor((left.length * right.length) / 10 / (left.length + right.length));
  const room = Math.floor(gpu.bufferBytes / 16 / vec4Count(longest));
  return Math.max(1, Math.min(updateColumns, room, Math.max(leastColumns, tenth)));
}

/**
 * M ← M + Σ factorⱼ leftⱼ rightⱼᵀ in place, in passes of so many columns that each reads and writes the matrix once. Runs
 * inside `Gpu.run`. With one and the same `left` and `right` a factor is divided evenly between its two vectors.
 */
export async function update(
  gpu: Gpu,
  store: RowStore,
  left: Vectors,
  right: Vectors,
  factors: readonly number[],
): Promise<void> {
  if (store.slabs.length === 0) return;
  const columns = passColumns(gpu, left, right);
  const scales = factors.map((factor) => Math.sqrt(Math.abs(factor)));
  const widest = Math.max(...store.grains.map((grain) => grain.columns));
  const groups = [Math.ceil(widest / 128), store.grains.length] as const;
  const pipeline = await gpu.kernels.update();
  for (let first = 0; first < left.count; first += columns) {
    const count = Math.min(columns, left.count - first);
    const a = await uploadVectors(gpu, 'x', left, first, count, scales);
    const b = left === right ? a : await uploadVectors(gpu, 'y', right, first, count, scales);
    const signs = await gpu.scratch('signs', count * 4);
    gpu.device.queue.writeBuffer(signs.buffer, 0, Float32Array.from(factors.slice(first, first + count), Math.sign));
    const words = Uint32Array.from([count, vec4Count(left.length), vec4Count(right.length), store.rows]);
    const bindings = store.slabs.map(({ params, table, buffer, bindings }) => {
      gpu.device.queue.writeBuffer(params, 0, words);
      const buffers = [params, table, buffer, a.buffer, b.buffer, signs.buffer];
      return bindings.get('update', [a, b, signs], () => gpu.kernels.bind('update', buffers));
    });
    gpu.submit((encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      for (const group of bindings) {
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...groups);
      }
      pass.end();
    });
  }
  await gpu.settled();
}
