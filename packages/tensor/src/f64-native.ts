import { type Binding, type OpAttribute, TF_DOUBLE } from './binding.js';
import { checkLength, TensorError } from './errors.js';
import { notPositiveDefinite } from './f64-cholesky.js';
import { jsLinearAlgebra, productShape } from './f64-js.js';
import type { LinearAlgebra, Operand64, Resident64 } from './linear-algebra.js';

/** Below this dimension crossing into TensorFlow costs more than it saves; such matrices are computed in JavaScript. */
const SMALL = 128;
/** The same for products, in multiply-adds: about 0.2 ms of JavaScript. */
const SMALL_PRODUCT = 1 << 18;
/** So many times as wide as high, a right-hand side costs less by the inverse: the solver uses one core, products all. */
const WIDE = 4;

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
  return matrix;
}

/**
 * The linear algebra through TensorFlow's fp64 kernels. The binding moves no fp64 arrays; bytes go in as uint8 and come
 * out as int32, and `Bitcast` reinterprets them without a copy.
 */
export function nativeLinearAlgebra(binding: Binding): LinearAlgebra {
  const js = jsLinearAlgebra();
  const type = (name: string, value: number): OpAttribute => ({ name, type: binding.TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean): OpAttribute => ({ name, type: binding.TF_ATTR_BOOL, value });
  const double = type('T', TF_DOUBLE);

  const run = (op: string, attributes: OpAttribute[], inputs: number[]) => {
    const [output] = binding.executeOp(op, attributes, inputs, 1);
    return output.id;
  };
  const up = (data: Float64Array, rows: number, columns: number) => {
    const raw = binding.createTensor(
      [rows, columns, 8],
      binding.TF_UINT8,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    try {
      return run('Bitcast', [type('T', binding.TF_UINT8), type('type', TF_DOUBLE)], [raw]);
    } finally {
      binding.deleteTensor(raw);
    }
  };
  const down = (id: number) => {
    const raw = run('Bitcast', [double, type('type', binding.TF_INT32)], [id]);
    try {
      const words = binding.tensorDataSync(raw);
      return new Float64Array(words.buffer, words.byteOffset, words.byteLength / 8);
    } finally {
      binding.deleteTensor(raw);
    }
  };
  /** Runs `compute` with ids that are freed afterwards, and reads its result back. */
  const scoped = (compute: (keep: (id: number) => number) => number) => {
    const ids: number[] = [];
    const keep = (id: number) => {
      ids.push(id);
      return id;
    };
    try {
      return down(keep(compute(keep)));
    } finally {
      for (const id of ids) binding.deleteTensor(id);
    }
  };
  const residents = new WeakMap<Resident64, number>();
  const operand = (o: Operand64, keep: (id: number) => number) => {
    if ('data' in o) return keep(up(o.data, o.rows, o.columns));
    const id = residents.get(o);
    if (id === undefined) throw new TensorError('INVALID_TENSOR', 'matmul: the matrix was disposed');
    return id;
  };
  const triangular = (adjoint: boolean) => [double, flag('lower', true), flag('adjoint', adjoint)];

  const cholesky = (a: Float64Array, n: number) => {
    checkLength('cholesky', a.length, n, n);
    if (n <= SMALL) return js.cholesky(a, n);
    const l = scoped((keep) => run('Cholesky', [double], [keep(up(a, n, n))]));
    for (let i = 0; i < n; i++)
      if (!(l[i * n + i] > 0 && Number.isFinite(l[i * n + i]))) throw notPositiveDefinite(i, l[i * n + i], n);
    return l;
  };
  const invertFromCholesky = (l: Float64Array, n: number) => {
    if (n <= SMALL) return js.invertFromCholesky(l, n);
    const inverse = scoped((keep) => {
      const x = keep(run('MatrixTriangularSolve', triangular(false), [keep(up(l, n, n)), keep(up(identity(n), n, n))]));
      return run('MatMul', [double, flag('transpose_a', true), flag('transpose_b', false)], [x, x]);
    });
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) inverse[j * n + i] = inverse[i * n + j];
    return inverse;
  };

  return {
    cholesky,
    invertFromCholesky,
    invertSpd: (a, n) => invertFromCholesky(cholesky(a, n), n),
    upload(data, rows, columns) {
      checkLength('upload', data.length, rows, columns);
      const id = up(data, rows, columns);
      const resident: Resident64 = {
        rows,
        columns,
        bytes: data.byteLength,
        read: () => down(id),
        dispose() {
          if (residents.delete(resident)) binding.deleteTensor(id);
        },
      };
      residents.set(resident, id);
      return resident;
    },
    matmul(a, b, options = {}) {
      const { m, k, n } = productShape(a, b, options);
      if (m * n * k === 0) return new Float64Array(m * n);
      if ('data' in a && 'data' in b && m * k * n <= SMALL_PRODUCT) return js.matmul(a, b, options);
      const flags = [
        double,
        flag('transpose_a', options.transposeA ?? false),
        flag('transpose_b', options.transposeB ?? false),
      ];
      return scoped((keep) => run('MatMul', flags, [operand(a, keep), operand(b, keep)]));
    },
    solveLower(l, b, n, columns, transpose = false) {
      checkLength('solveLower', b.length, n, columns);
      if (n <= SMALL && n * n * columns <= SMALL_PRODUCT) return js.solveLower(l, b, n, columns, transpose);
      return scoped((keep) => {
        const left = keep(up(l, n, n));
        const right = keep(up(b, n, columns));
        if (columns < WIDE * n) return run('MatrixTriangularSolve', triangular(transpose), [left, right]);
        const inverse = keep(run('MatrixTriangularSolve', triangular(transpose), [left, keep(up(identity(n), n, n))]));
        return run('MatMul', [double, flag('transpose_a', false), flag('transpose_b', false)], [inverse, right]);
      });
    },
  };
}
