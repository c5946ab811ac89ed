import { addProducts } from './host-kernels.js';
import { hostDense, hostSymmetric } from './host-matrices.js';
import type { MatrixEngine, Precision } from './matrix-engine.js';
import { checkMemory } from './memory.js';
import { allocate, bytesPer, checkSize } from './panels.js';
import { type Probe, profiler } from './profile.js';

const PROBE_SIZE = 192;
const PROBE_COPY = 1 << 24;

function probe(precision: Precision): Probe {
  const size = PROBE_SIZE;
  const block = { data: allocate(precision, size * size), rows: size, stride: size, firstRow: 0 };
  const vectors = (count: number) => ({ length: size, count, data: new Float64Array(size * count) });
  const wide = vectors(size);
  const one = vectors(1);
  const from = allocate(precision, PROBE_COPY / bytesPer(precision)).fill(1);
  const to = from.slice();
  return {
    flops: 2 * size ** 3,
    matmul: () => addProducts(block, wide, vectors(size), 0),
    copied: 2 * PROBE_COPY,
    copy: () => to.set(from),
    small: () => addProducts({ ...block, rows: 1 }, one, one, 0),
    dispose: () => {},
  };
}

/** The fallback where no native binding loads: JavaScript arrays, one thread. */
export function hostMatrixEngine(): MatrixEngine {
  return {
    name: 'wasm',
    description: `JavaScript arrays on Node ${process.versions.node}`,
    precisions: ['fp64', 'fp32'],
    symmetric: hostSymmetric,
    async zeros(rows, columns, precision) {
      checkSize('rows', rows);
      checkSize('columns', columns);
      checkMemory(`a ${rows} × ${columns} matrix`, rows * columns * bytesPer(precision));
      return hostDense(rows, columns, precision, allocate(precision, rows * columns));
    },
    profile: profiler(probe),
    async dispose() {},
  };
}
