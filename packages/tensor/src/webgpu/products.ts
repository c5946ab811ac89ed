import { checkFinite, TensorError } from '../errors.js';
import type { Vectors, Vectors64 } from '../matrix-engine.js';
import { mapMode } from './adapter.js';
import type { Gpu } from './gpu.js';
import { grainRows, mostSplits, productColumns, vec4Count, wantedWorkgroups } from './limits.js';
import { matvecColumns } from './matvec-wgsl.js';
import type { ProductMode, VectorTile } from './product-wgsl.js';
import type { RowStore } from './row-store.js';
import { uploadVectors } from './vectors.js';

interface Plan {
  readonly pipeline: GPUComputePipeline;
  readonly groups: readonly [number, number, number];
  /** Parts of the sum, each as large as the result. */
  readonly parts: number;
  /** Whether the kernel leaves parts unwritten, which must be zero. */
  readonly sparse: boolean;
  /** Words of the uniform buffer for the slab at an index. */
  params(slab: number): Uint32Array<ArrayBuffer>;
}

interface Sizes {
  readonly mode: ProductMode;
  /** Length of the vectors and of the products. */
  readonly inner: number;
  readonly outer: number;
  readonly count: number;
}

const tileOf = (count: number): VectorTile => (count <= 32 ? 32 : count <= 64 ? 64 : 128);

async function planVector(gpu: Gpu, store: RowStore, { mode, inner, outer }: Sizes): Promise<Plan> {
  const widest = mode === 'transposed' ? outer : inner;
  const chunks = Math.ceil(widest / matvecColumns);
  const forwardSlots = mode === 'transposed' ? 0 : chunks;
  const words = [1, vec4Count(inner), vec4Count(outer), store.rows, 0, 0, forwardSlots, 0];
  return {
    pipeline: await gpu.kernels.matvec(mode),
    groups: [chunks, store.grains.length, 1],
    parts: forwardSlots + (mode === 'forward' ? 0 : store.grains.length),
    sparse: true,
    params: () => Uint32Array.from(words),
  };
}

async function planVectors(gpu: Gpu, store: RowStore, { mode, inner, outer, count }: Sizes): Promise<Plan> {
  const tile = tileOf(count);
  const tiles = [Math.ceil(outer / grainRows), Math.ceil(count / tile)] as const;
  const grains = Math.ceil(inner / grainRows);
  const wanted = Math.min(mostSplits, Math.ceil(grains / 4), Math.floor(wantedWorkgroups / (tiles[0] * tiles[1])));
  const each = Math.ceil(grains / Math.max(1, wanted));
  const splits = Math.ceil(grains / each);
  const strides = [vec4Count(inner), vec4Count(outer)];
  return {
    pipeline: await gpu.kernels.product(mode, tile),
    groups: [...tiles, splits],
    parts: splits * store.slabs.length,
    sparse: false,
    params: (slab) => Uint32Array.from([count, ...strides, store.rows, grains, each, slab * splits, 0]),
  };
}

const words = (plan: Plan, { outer, count }: Sizes) => plan.parts * count * vec4Count(outer);

/** The plan for as many of the vectors as the buffers have room for. */
async function planFor(gpu: Gpu, store: RowStore, sizes: Sizes): Promise<{ plan: Plan; count: number }> {
  const most = Math.floor(gpu.bufferBytes / 16);
  if (sizes.count === 1) {
    const plan = await planVector(gpu, store, sizes);
    if (words(plan, sizes) <= most) return { plan, count: 1 };
  }
  let { count } = sizes;
  for (;;) {
    const plan = await planVectors(gpu, store, { ...sizes, count });
    if (Math.max(words(plan, { ...sizes, count }), count * vec4Count(sizes.inner)) <= most) return { plan, count };
    if (count === 1)
      throw new TensorError(
        'OUT_OF_MEMORY',
        `a product of length ${sizes.outer} in ${plan.parts} parts where a buffer of the device has ${gpu.bufferBytes} bytes: use another engine`,
      );
    count = Math.ceil(count / 2);
  }
}

/** M X or Mᵀ X of the vectors from `first` on, in one submission and one readback. Returns how many were multiplied. */
async function productOnce(
  gpu: Gpu,
  store: RowStore,
  mode: ProductMode,
  x: Vectors,
  first: number,
  out: Vectors64,
): Promise<number> {
  const left = Math.min(productColumns, x.count - first);
  const { plan, count } = await planFor(gpu, store, { mode, inner: x.length, outer: out.length, count: left });
  const stride = vec4Count(out.length);
  const length = count * stride;
  const sum = await gpu.kernels.sum();
  const given = await uploadVectors(gpu, 'x', x, first, count);
  const parts = await gpu.scratch('parts', plan.parts * length * 16);
  const result = await gpu.scratch('result', length * 16);
  const read = await gpu.scratch('read', length * 16);
  const added = gpu.summing(parts, result);
  const rows = Math.min(65_535, Math.ceil(length / 64));
  gpu.device.queue.writeBuffer(added.params, 0, Uint32Array.from([length, plan.parts, rows, 0]));
  const groups = store.slabs.map((slab, i) => {
    gpu.device.queue.writeBuffer(slab.params, 0, plan.params(i));
    const buffers = [slab.params, slab.table, slab.buffer, given.buffer, parts.buffer];
    return slab.bindings.get('product', [given, parts], () => gpu.kernels.bind('product', buffers));
  });
  gpu.submit((encoder) => {
    if (plan.sparse) encoder.clearBuffer(parts.buffer, 0, plan.parts * length * 16);
    const pass = encoder.beginComputePass();
    pass.setPipeline(plan.pipeline);
    for (const group of groups) {
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...plan.groups);
    }
    pass.setPipeline(sum);
    pass.setBindGroup(0, added.group);
    pass.dispatchWorkgroups(rows, Math.ceil(length / 64 / rows));
    pass.end();
    encoder.copyBufferToBuffer(result.buffer, 0, read.buffer, 0, length * 16);
  });
  await read.buffer.mapAsync(mapMode.READ, 0, length * 16);
  const data = new Float32Array(read.buffer.getMappedRange(0, length * 16));
  for (let j = 0; j < count; j++)
    out.data.set(data.subarray(j * stride * 4, j * stride * 4 + out.length), (first + j) * out.length);
  read.buffer.unmap();
  return count;
}

/**
 * The product of the stored rows with vectors. Runs inside `Gpu.run`.
 * @throws TensorError INVALID_TENSOR when a sum is beyond single precision
 */
export async function product(
  gpu: Gpu,
  store: RowStore,
  mode: ProductMode,
  x: Vectors,
  length: number,
): Promise<Vectors64> {
  const out = { length, count: x.count, data: new Float64Array(length * x.count) };
  if (store.slabs.length > 0)
    for (let first = 0; first < x.count; ) first += await productOnce(gpu, store, mode, x, first, out);
  checkFinite('product in single precision', out.data);
  return out;
}
