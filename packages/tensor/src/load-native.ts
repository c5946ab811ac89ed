import { createRequire } from 'node:module';
import type { Binding } from './binding.js';

type Tf = typeof import('@tensorflow/tfjs-core');

/** tfjs-node calls these two, which Node 23 removed. */
function restoreRemovedUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

/** Loads tfjs with TensorFlow's C library behind it. @throws when the binding is not built or does not load */
export function loadNative(): { readonly tf: Tf; readonly binding: Binding; readonly version: string } {
  const require = createRequire(import.meta.url);
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  restoreRemovedUtil(require('node:util'));
  require('@tensorflow/tfjs-node-gpu');
  const tf: Tf = require('@tensorflow/tfjs-core');
  const { binding } = tf.backend() as unknown as { binding: Binding };
  return {
    tf,
    binding,
    version: `tfjs ${tf.version_core}, TensorFlow ${binding.TF_Version}${binding.isUsingGpuDevice() ? ' on GPU' : ''}`,
  };
}
