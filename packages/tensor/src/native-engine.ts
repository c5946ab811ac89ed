import { loadNative } from './load-native.js';
import type { MatrixEngine, Precision } from './matrix-engine.js';
import { nativeZeros } from './native-dense.js';
import { nativeOps } from './native-ops.js';
import { nativeSymmetric } from './native-symmetric.js';
import { allocate, bytesPer, checkSize } from './panels.js';
import { type Probe, profiler } from './profile.js';

const PROBE_SIZE = 1024;
/** Twice the last-level cache of the machines this is for, so that memory is what is measured. */
const PROBE_COPY = 1 << 26;

/** @throws Error when the binding is not built or does not load */
export function nativeMatrixEngine(): MatrixEngine {
  const { binding, version } = loadNative();
  const both = { fp32: nativeOps(binding, 'fp32'), fp64: nativeOps(binding, 'fp64') };
  const probe = (precision: Precision): Probe => {
    const ops = both[precision];
    const square = ops.upload(allocate(precision, PROBE_SIZE ** 2).fill(1), [PROBE_SIZE, PROBE_SIZE]);
    const long = ops.zeros([PROBE_COPY / bytesPer(precision)]);
    const one = ops.zeros([1, 1]);
    return {
      flops: 2 * PROBE_SIZE ** 3,
      matmul: () => ops.free(ops.matmul(square, square, false, false)),
      copied: 2 * PROBE_COPY,
      copy: () => ops.free(ops.copy(long)),
      small: () => ops.free(ops.add(one, one)),
      dispose: () => ops.free(square, long, one),
    };
  };
  return {
    name: 'native',
    description: version,
    precisions: ['fp64', 'fp32'],
    symmetric: (spec) => nativeSymmetric(both[spec.precision], spec),
    async zeros(rows, columns, precision) {
      checkSize('rows', rows);
      checkSize('columns', columns);
      return nativeZeros(both[precision], rows, columns, precision);
    },
    profile: profiler(probe),
    async dispose() {},
  };
}
