import type { KernelBackend, KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

type Tf = typeof import('@tensorflow/tfjs-core');

/** Tensors that tfjs's shader adds at a time; of more than 16 its sums are wrong. */
const addedTogether = 8;

const repaired = new WeakSet<object>();

/** Makes tfjs's WebGPU backend add many tensors a few at a time. */
export function repairAddN(tf: Tf): void {
  const present = tf.getKernel('AddN', 'webgpu');
  if (repaired.has(present.kernelFunc)) return;
  const kernelFunc: KernelConfig['kernelFunc'] = ({ inputs, backend, attrs }) => {
    const add = (some: readonly TensorInfo[]): TensorInfo =>
      present.kernelFunc({ inputs: some as unknown as NamedTensorInfoMap, backend, attrs }) as TensorInfo;
    const all = inputs as unknown as readonly TensorInfo[];
    let sum = add(all.slice(0, addedTogether));
    for (let at = addedTogether; at < all.length; at += addedTogether - 1) {
      const next = add([sum, ...all.slice(at, at + addedTogether - 1)]);
      (backend as KernelBackend).disposeData(sum.dataId);
      sum = next;
    }
    return sum;
  };
  repaired.add(kernelFunc);
  tf.unregisterKernel('AddN', 'webgpu');
  tf.registerKernel({ ...present, kernelFunc });
}
