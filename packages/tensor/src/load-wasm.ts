import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import type {
  DataId,
  DataType,
  KernelBackend,
  KernelConfig,
  NamedTensorInfoMap,
  TensorInfo,
} from '@tensorflow/tfjs-core';

type Tf = typeof import('@tensorflow/tfjs-core');
/** What both the wasm and the JavaScript backend offer for moving values. */
interface HostBackend extends KernelBackend {
  readSync(dataId: DataId): Float32Array | Int32Array | Uint8Array;
  write(values: Float32Array | Int32Array | Uint8Array, shape: number[], dtype: DataType): DataId;
  disposeData(dataId: DataId): boolean;
}

function copy(info: TensorInfo, from: HostBackend, to: HostBackend): TensorInfo {
  const values = from.readSync(info.dataId);
  return { dataId: to.write(values.slice(), info.shape, info.dtype), shape: info.shape, dtype: info.dtype };
}

/** The kernel of the JavaScript backend made to work on tensors of the wasm backend, by copying in and out. */
function borrowed(kernel: KernelConfig, wasm: HostBackend, cpu: HostBackend): KernelConfig {
  return {
    kernelName: kernel.kernelName,
    backendName: 'wasm',
    kernelFunc({ inputs, attrs }) {
      const moved: NamedTensorInfoMap = {};
      for (const [name, input] of Object.entries(inputs)) {
        // Some kernels take a list of tensors under one name, which the type does not tell.
        const given = input as TensorInfo | TensorInfo[] | undefined;
        if (given === undefined) continue;
        moved[name] = (
          Array.isArray(given) ? given.map((t) => copy(t, wasm, cpu)) : copy(given, wasm, cpu)
        ) as TensorInfo;
      }
      const result = kernel.kernelFunc({ inputs: moved, attrs, backend: cpu });
      const outputs = (Array.isArray(result) ? result : [result]).map((t) => copy(t, cpu, wasm));
      for (const info of [...Object.values(moved).flat(), ...(Array.isArray(result) ? result : [result])])
        cpu.disposeData((info as TensorInfo).dataId);
      return Array.isArray(result) ? outputs : outputs[0];
    },
  };
}

/** Loads tfjs on WebAssembly; kernels it lacks run on the JavaScript backend. */
export async function loadWasm(): Promise<{ readonly tf: Tf; readonly version: string }> {
  const require = createRequire(import.meta.url);
  const tf: Tf = require('@tensorflow/tfjs-core');
  const wasmModule: typeof import('@tensorflow/tfjs-backend-wasm') = require('@tensorflow/tfjs-backend-wasm');
  require('@tensorflow/tfjs-backend-cpu');
  const folder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  wasmModule.setWasmPaths(folder + sep);
  if (!(await tf.setBackend('wasm'))) throw new Error('the WebAssembly backend of tfjs did not start');
  await tf.ready();
  const wasm = tf.backend() as HostBackend;
  const cpu = tf.engine().findBackend('cpu') as HostBackend;
  // Keeps the backend's advertisement for tfjs-node off the console.
  Reflect.set(cpu, 'firstUse', false);
  const present = new Set(tf.getKernelsForBackend('wasm').map((k) => k.kernelName));
  for (const kernel of tf.getKernelsForBackend('cpu'))
    if (!present.has(kernel.kernelName)) tf.registerKernel(borrowed(kernel, wasm, cpu));
  return { tf, version: `tfjs ${tf.version_core}, WebAssembly ${wasmModule.version_wasm}` };
}
