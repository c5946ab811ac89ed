import type { DenseMatrix, Precision } from '../matrix-engine.js';
import { checkRows, checkSize, checkVectors, disposed } from '../panels.js';
import type { Gpu } from './gpu.js';
import { grainRows } from './limits.js';
import { product } from './products.js';
import { type Grain, RowStore } from './row-store.js';
import { unsupported } from './symmetric.js';
import { update } from './updates.js';

/** The rows of a matrix whose products take all of it as stored. */
export function denseGrains(rows: number, columns: number): readonly Grain[] {
  return Array.from({ length: Math.ceil(rows / grainRows) }, (_, g) => ({
    rows: Math.min(grainRows, rows - g * grainRows),
    columns,
    mirrored: columns,
    held: true,
  }));
}

function denseOf(gpu: Gpu, rows: number, columns: number, opened: RowStore): DenseMatrix {
  let held: RowStore | null = opened;
  const store = () => {
    if (held === null) throw disposed();
    return held;
  };
  return {
    rows,
    columns,
    precision: 'fp32',
    bytes: opened.bytes,
    async times(x) {
      checkVectors('product', x, columns);
      return gpu.run(async () => product(gpu, store(), 'forward', x, rows));
    },
    async transposeTimes(y) {
      checkVectors('product', y, rows);
      return gpu.run(async () => product(gpu, store(), 'transposed', y, columns));
    },
    async addOuter(b, g) {
      checkVectors('outer product, left', b, rows);
      checkVectors('outer product, right', g, columns, b.count);
      const ones = Array.from({ length: b.count }, () => 1);
      return gpu.run(async () => update(gpu, store(), b, g, ones));
    },
    async copy() {
      return denseOf(gpu, rows, columns, await gpu.run(async () => store().copy()));
    },
    async readRows(first, count) {
      checkRows(first, count, rows);
      const out = new Float64Array(count * columns);
      await gpu.run(async () => store().read(first, count, columns, out));
      return out;
    },
    dispose() {
      if (held === null) return;
      held = null;
      gpu.run(async () => opened.destroy()).catch(() => {});
    },
  };
}

/** A matrix of zeros on the device. @throws TensorError INVALID_TENSOR, OUT_OF_MEMORY, DEVICE_LOST */
export async function gpuZeros(gpu: Gpu, rows: number, columns: number, precision: Precision): Promise<DenseMatrix> {
  checkSize('rows', rows);
  checkSize('columns', columns);
  if (precision !== 'fp32') throw unsupported(precision);
  return denseOf(gpu, rows, columns, await gpu.run(() => RowStore.open(gpu, denseGrains(rows, columns))));
}
