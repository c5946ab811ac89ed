import { type Binding, type OpAttribute, TF_DOUBLE } from './binding.js';
import type { Precision } from './matrix-engine.js';

type Numbers = Float64Array | Float32Array;

/** EIGEN_MAX_ALIGN_BYTES of TensorFlow's builds. */
const ALIGNMENT = 64;

/** TensorFlow ops of one precision on tensor ids. Whoever gets an id frees it. */
export interface NativeOps {
  upload(data: Numbers, shape: readonly number[]): number;
  download(id: number): Numbers;
  zeros(shape: readonly number[]): number;
  /** op(A) · op(B). */
  matmul(a: number, b: number, transposeA: boolean, transposeB: boolean): number;
  transpose(id: number): number;
  add(a: number, b: number): number;
  /** Column c times factors[c]; one factor is for all columns. */
  scale(id: number, factors: readonly number[]): number;
  /** The same values under another shape, in the same memory. */
  reshape(id: number, shape: readonly number[]): number;
  /** Rows of a `total` × `columns` matrix, in the same memory where they can be. */
  rows(id: number, first: number, count: number, [total, columns]: readonly [number, number]): number;
  /** to[first..first + count) += values, in place: along the first dimension, and seen by all that shares the memory. */
  addInPlace(to: number, first: number, count: number, values: number): void;
  copy(id: number): number;
  free(...ids: readonly number[]): void;
  /** Frees what `keep` was given when `work` ends. */
  scoped<T>(work: (keep: (id: number) => number) => T): T;
}

export function nativeOps(binding: Binding, precision: Precision): NativeOps {
  const dtype = precision === 'fp64' ? TF_DOUBLE : binding.TF_FLOAT;
  const type = (name: string, value: number): OpAttribute => ({ name, type: binding.TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean): OpAttribute => ({ name, type: binding.TF_ATTR_BOOL, value });
  const own = type('T', dtype);
  const run = (op: string, attributes: readonly OpAttribute[], ...inputs: number[]) =>
    binding.executeOp(op, attributes, inputs, 1)[0].id;
  const free = (...ids: readonly number[]) => {
    for (const id of ids) binding.deleteTensor(id);
  };
  const scoped = <T>(work: (keep: (id: number) => number) => T): T => {
    const ids: number[] = [];
    try {
      return work((id) => {
        ids.push(id);
        return id;
      });
    } finally {
      free(...ids);
    }
  };
  const integers = (...values: number[]) =>
    binding.createTensor([values.length], binding.TF_INT32, Int32Array.from(values));
  const with32 = <T>(values: readonly number[], work: (id: number) => T): T => {
    const id = integers(...values);
    try {
      return work(id);
    } finally {
      free(id);
    }
  };
  /** Least number of rows that fill whole units of alignment: TensorFlow slices in place only between such. */
  const alignedRows = (columns: number) => {
    const bytes = columns * (precision === 'fp64' ? 8 : 4);
    let rows = 1;
    while ((rows * bytes) % ALIGNMENT !== 0) rows *= 2;
    return rows;
  };
  const row = (values: readonly number[]) => ops.upload(Float64Array.from(values), [values.length]);

  const ops: NativeOps = {
    upload(data, shape) {
      if (precision === 'fp32') {
        const values = data instanceof Float32Array ? data : new Float32Array(data);
        return binding.createTensor([...shape], binding.TF_FLOAT, values);
      }
      // The binding moves no fp64 arrays: their bytes go in as uint8, and Bitcast reinterprets them without a copy.
      const values = data instanceof Float64Array ? data : new Float64Array(data);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      const raw = binding.createTensor([...shape, 8], binding.TF_UINT8, bytes);
      try {
        return run('Bitcast', [type('T', binding.TF_UINT8), type('type', TF_DOUBLE)], raw);
      } finally {
        free(raw);
      }
    },
    download(id) {
      if (precision === 'fp32') return binding.tensorDataSync(id) as Float32Array;
      const raw = run('Bitcast', [own, type('type', binding.TF_INT32)], id);
      try {
        const words = binding.tensorDataSync(raw);
        return new Float64Array(words.buffer, words.byteOffset, words.byteLength / 8);
      } finally {
        free(raw);
      }
    },
    zeros: (shape) =>
      with32(shape, (dims) =>
        scoped((keep) =>
          run('Fill', [own, type('index_type', binding.TF_INT32)], dims, keep(ops.reshape(keep(row([0])), []))),
        ),
      ),
    matmul: (a, b, transposeA, transposeB) =>
      run('MatMul', [own, flag('transpose_a', transposeA), flag('transpose_b', transposeB)], a, b),
    transpose: (id) => with32([1, 0], (order) => run('Transpose', [own, type('Tperm', binding.TF_INT32)], id, order)),
    add: (a, b) => run('AddV2', [own], a, b),
    scale: (id, factors) => scoped((keep) => run('Mul', [own], id, keep(row(factors)))),
    reshape: (id, shape) => with32(shape, (to) => run('Reshape', [own, type('Tshape', binding.TF_INT32)], id, to)),
    rows(id, first, count, [total, columns]) {
      const slice = (from: number, row: number, some: number, width: number) =>
        with32([row, 0], (begin) =>
          with32([some, width], (size) => run('Slice', [own, type('Index', binding.TF_INT32)], from, begin, size)),
        );
      const group = alignedRows(columns);
      if ([first, count, total].some((n) => n % group !== 0)) return slice(id, first, count, columns);
      return scoped((keep) => {
        const groups = keep(ops.reshape(id, [total / group, group * columns]));
        return ops.reshape(keep(slice(groups, first / group, count / group, group * columns)), [count, columns]);
      });
    },
    addInPlace(to, first, count, values) {
      with32(
        Array.from({ length: count }, (_, i) => first + i),
        (at) => free(run('InplaceAdd', [own], to, at, values)),
      );
    },
    copy: (id) => run('DeepCopy', [own], id),
    free,
    scoped,
  };
  return ops;
}
