import type { Tensor } from '@tensorflow/tfjs-core';
import type { Binding, OpAttribute } from './binding.js';
import { type AttentionPlan, composedOps, type TensorOps } from './tensor-ops.js';

/** The part of tfjs-node's backend that turns its tensors into TensorFlow's and back. */
interface Backend {
  readonly binding: Binding;
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  createOutputTensor(output: { readonly id: number; readonly shape: number[]; readonly dtype: number }): Tensor;
}

/**
 * TensorFlow's own ops without tfjs around them: half the time of a call on small tensors, and for thin products a tenth
 * of the whole, as tfjs knows batches of matrices only.
 */
export function nativeTensorOps(backend: Backend): TensorOps {
  const { binding } = backend;
  const type = (name: string, value: number): OpAttribute => ({ name, type: binding.TF_ATTR_TYPE, value });
  const flag = (name: string, value: boolean): OpAttribute => ({ name, type: binding.TF_ATTR_BOOL, value });
  const int = (name: string, value: number): OpAttribute => ({ name, type: binding.TF_ATTR_INT, value });
  const number = (name: string, value: number): OpAttribute => ({ name, type: binding.TF_ATTR_FLOAT, value });
  const float = [type('T', binding.TF_FLOAT)];
  const alongAxes = [...float, type('Tidx', binding.TF_INT32)];
  const reduced = [flag('keep_dims', true), ...alongAxes];
  const gathered = [
    int('batch_dims', 0),
    type('Tparams', binding.TF_FLOAT),
    type('Tindices', binding.TF_INT32),
    type('Taxis', binding.TF_INT32),
  ];
  const reshaped = [...float, type('Tshape', binding.TF_INT32)];
  const products = (first: string, second: string): OpAttribute[][] =>
    [0, 1, 2, 3].map((way) => [...float, flag(first, way >= 2), flag(second, way % 2 === 1)]);
  const [plain, batched] = [products('transpose_a', 'transpose_b'), products('adj_x', 'adj_y')];

  /** Inputs are tensors or ids of TensorFlow's own. */
  const runAll = (
    op: string,
    attributes: readonly OpAttribute[],
    inputs: readonly (Tensor | number)[],
    outputs: number,
  ): Tensor[] => {
    const ids = inputs.map((input) => (typeof input === 'number' ? input : backend.getInputTensorIds([input])[0]));
    return backend.binding.executeOp(op, attributes, ids, outputs).map((output) => backend.createOutputTensor(output));
  };
  const run = (op: string, attributes: readonly OpAttribute[], inputs: readonly (Tensor | number)[]): Tensor =>
    runAll(op, attributes, inputs, 1)[0];
  const integers = (values: readonly number[], shape: number[]): number =>
    binding.createTensor(shape, binding.TF_INT32, Int32Array.from(values));
  const constants = new Map<string, number>();
  /** An axis, made once: a vector for all ops but gathering and joining, which take a scalar. */
  const constant = (at: number, shape: number[]): number => {
    const key = `${at} ${shape}`;
    let id = constants.get(key);
    if (id === undefined) {
      id = integers([at], shape);
      constants.set(key, id);
    }
    return id;
  };
  const axis = (at: number): number => constant(at, [1]);
  const scalar = (at: number): number => constant(at, []);
  const basic = {
    add: (a, b) => run('AddV2', float, [a, b]),
    sub: (a, b) => run('Sub', float, [a, b]),
    mul: (a, b) => run('Mul', float, [a, b]),
    square: (x) => run('Square', float, [x]),
    rsqrt: (x) => run('Rsqrt', float, [x]),
    sigmoid: (x) => run('Sigmoid', float, [x]),
    softmax: (x) => run('Softmax', float, [x]),
    mean: (x) => run('Mean', reduced, [x, axis(-1)]),
    sum: (x) => run('Sum', reduced, [x, axis(-1)]),
    gather: (x, index) => run('GatherV2', gathered, [x, index, scalar(0)]),
    concat: (parts, at) => run('ConcatV2', [int('N', parts.length), ...alongAxes], [...parts, scalar(at)]),
    reshape(x, shape) {
      const id = integers(shape, [shape.length]);
      try {
        return run('Reshape', reshaped, [x, id]);
      } finally {
        binding.deleteTensor(id);
      }
    },
    reverse: (x, at) => run('ReverseV2', alongAxes, [x, axis(at)]),
    matMul(a, b, transposeA = false, transposeB = false) {
      const way = (transposeA ? 2 : 0) + (transposeB ? 1 : 0);
      return a.rank === 2 ? run('MatMul', plain[way], [a, b]) : run('BatchMatMulV2', batched[way], [a, b]);
    },
  } satisfies Parameters<typeof composedOps>[0];
  // The kernels of packages/tensor/native are the CPU's.
  if (binding.isUsingGpuDevice()) return composedOps(basic);

  const none = binding.createTensor([0], binding.TF_FLOAT, new Float32Array(0));
  const layout = ({ spans, past, mask, rotation }: AttentionPlan): (Tensor | number)[] => [
    spans,
    past?.keys ?? none,
    past?.values ?? none,
    mask,
    rotation?.cosines ?? none,
    rotation?.sines ?? none,
  ];
  const shape = ({ heads, groups, width, cap }: AttentionPlan): OpAttribute[] => [
    int('heads', heads),
    int('groups', groups),
    int('width', width),
    number('cap', cap ?? 0),
  ];
  return {
    ...basic,
    rmsNorm(x, epsilon) {
      const [normed, rootMean] = runAll('ErrataRmsNorm', [], [x, epsilon], 2);
      return { normed, rootMean };
    },
    rmsNormBackward: (gradient, { normed, rootMean }, residual) =>
      run('ErrataRmsNormGrad', [], [gradient, normed, rootMean, residual ?? none]),
    swiGlu: (gate, up) => run('ErrataSwiGlu', [], [gate, up]),
    swiGluBackward(gradient, gate, up) {
      const [toGate, toUp] = runAll('ErrataSwiGluGrad', [], [gradient, gate, up], 2);
      return { gate: toGate, up: toUp };
    },
    attention: {
      forward(plan, projected) {
        const [mixed, rotated, shares] = runAll('ErrataAttention', shape(plan), [projected, ...layout(plan)], 3);
        return { mixed, rotated, shares };
      },
      backward: (plan, gradient, { rotated, shares }) =>
        run('ErrataAttentionGrad', shape(plan), [gradient, rotated, shares, ...layout(plan)]),
    },
  };
}
