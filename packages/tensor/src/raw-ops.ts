import type { Tensor } from '@tensorflow/tfjs-core';
import type { Binding, OpAttribute } from './binding.js';

/** TensorFlow ops by name, for what tfjs does not wrap. Only the native engine has them; no gradients. */
export interface RawOps {
  readonly types: { readonly float: number; readonly int32: number };
  type(name: string, value: number): OpAttribute;
  flag(name: string, value: boolean): OpAttribute;
  int(name: string, value: number): OpAttribute;
  float(name: string, value: number): OpAttribute;
  /** Runs an op with one output, e.g. `run('MatrixInverse', [type('T', types.float), flag('adjoint', false)], [a])`. */
  run(op: string, attributes: readonly OpAttribute[], inputs: readonly Tensor[]): Tensor;
}

export function rawOps(tf: typeof import('@tensorflow/tfjs-core'), binding: Binding): RawOps {
  const backend = tf.backend() as unknown as {
    executeSingleOutput(op: string, attributes: readonly OpAttribute[], inputs: readonly Tensor[]): Tensor;
  };
  return {
    types: { float: binding.TF_FLOAT, int32: binding.TF_INT32 },
    type: (name, value) => ({ name, type: binding.TF_ATTR_TYPE, value }),
    flag: (name, value) => ({ name, type: binding.TF_ATTR_BOOL, value }),
    int: (name, value) => ({ name, type: binding.TF_ATTR_INT, value }),
    float: (name, value) => ({ name, type: binding.TF_ATTR_FLOAT, value }),
    run: (op, attributes, inputs) => backend.executeSingleOutput(op, attributes, inputs),
  };
}
