import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { Binding } from './binding.js';

type Tf = typeof import('@tensorflow/tfjs-core');

/** Read by TensorFlow and NVIDIA's libraries as they load, from the environment of the process. */
const loadTime = {
  TF_CPP_MIN_LOG_LEVEL: '2',
  // Else one process takes all memory of a card.
  TF_FORCE_GPU_ALLOW_GROWTH: 'true',
  // Else newer cards round the factors of fp32 products to 10 bits.
  NVIDIA_TF32_OVERRIDE: '0',
  // oneDNN's products, else taken only on processors with VNNI: on others they are up to twice as fast as Eigen's, too.
  // They keep the stack pointer in the heap (jit_avx_gemm_f32): a signal handler on their thread overwrites memory there,
  // so that they are not for the main thread, which is where signals are handled.
  TF_ENABLE_ONEDNN_OPTS: isMainThread ? '0' : '1',
  // The thread that waits for a product works on it.
  TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD: '1',
};

/** tfjs-node calls these two, which Node 23 removed. */
function restoreRemovedUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

/** Loads tfjs with TensorFlow's C library behind it. @throws when the binding is not built or does not load */
export function loadNative(): { readonly tf: Tf; readonly binding: Binding; readonly version: string } {
  const require = createRequire(import.meta.url);
  for (const [name, value] of Object.entries(loadTime)) process.env[name] ??= value;
  restoreRemovedUtil(require('node:util'));
  require('@tensorflow/tfjs-node-gpu');
  const tf: Tf = require('@tensorflow/tfjs-core');
  const { binding } = tf.backend() as unknown as { binding: Binding };
  const folder = dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
  return { tf, binding, version: `tfjs ${tf.version_core}, ${nameOf(binding, folder)}` };
}

function nameOf(binding: Binding, folder: string): string {
  const name = `TensorFlow ${binding.TF_Version}`;
  if (binding.isUsingGpuDevice()) return `${name} on an NVIDIA card (CUDA)`;
  const cuda = existsSync(join(folder, 'deps', 'lib', 'libcudart.so.12'));
  return cuda ? `${name}, its CUDA build on the CPU: it found no card that it can use` : name;
}
