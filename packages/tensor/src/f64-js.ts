import { checkLength, TensorError } from './errors.js';
import { cholesky64, invertFromCholesky64, solveLower64 } from './f64-cholesky.js';
import { matmul64, transpose64 } from './f64-matmul.js';
import type { LinearAlgebra, MatmulOptions, Operand64, Resident64 } from './linear-algebra.js';

/** Dimensions of op(A) · op(B). @throws TensorError INVALID_TENSOR */
export function productShape(
  a: Operand64,
  b: Operand64,
  options: MatmulOptions,
): { readonly m: number; readonly k: number; readonly n: number } {
  const [m, k] = options.transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [k2, n] = options.transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  if (k !== k2) throw new TensorError('INVALID_TENSOR', `matmul: inner dimensions ${k} and ${k2} differ`);
  return { m, k, n };
}

function values(operand: Operand64): Float64Array {
  return 'data' in operand ? operand.data : operand.read();
}

/** The linear algebra in plain JavaScript: what the wasm engine uses, and every engine for small matrices. */
export function jsLinearAlgebra(): LinearAlgebra {
  return {
    upload(data, rows, columns) {
      checkLength('upload', data.length, rows, columns);
      const resident: Resident64 = {
        rows,
        columns,
        bytes: data.byteLength,
        read: () => data,
        dispose: () => undefined,
      };
      return resident;
    },
    matmul(a, b, options = {}) {
      const { m, k, n } = productShape(a, b, options);
      const left = options.transposeA ? transpose64(values(a), a.rows, a.columns) : values(a);
      const right = options.transposeB ? transpose64(values(b), b.rows, b.columns) : values(b);
      return matmul64(left, right, m, k, n);
    },
    cholesky(a, n) {
      checkLength('cholesky', a.length, n, n);
      return cholesky64(a, n);
    },
    solveLower(l, b, n, columns, transpose = false) {
      checkLength('solveLower', b.length, n, columns);
      return solveLower64(l, b, n, columns, transpose);
    },
    invertFromCholesky: invertFromCholesky64,
    invertSpd(a, n) {
      checkLength('invertSpd', a.length, n, n);
      return invertFromCholesky64(cholesky64(a, n), n);
    },
  };
}
