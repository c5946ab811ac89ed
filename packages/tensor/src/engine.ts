import { jsLinearAlgebra } from './f64-js.js';
import { nativeLinearAlgebra } from './f64-native.js';
import type { LinearAlgebra } from './linear-algebra.js';
import { loadNative } from './load-native.js';
import { loadWasm } from './load-wasm.js';
import { nativeTensorOps } from './native-tensor-ops.js';
import { portableOps, type TensorOps } from './tensor-ops.js';

/** Where tensors are computed. tfjs keeps one active backend a process: the engine created last is the active one. */
export interface Engine {
  readonly name: 'native' | 'webgpu' | 'wasm';
  /** Versions of tfjs and of what computes underneath. */
  readonly version: string;
  /** tfjs on this engine's backend; tensors are the caller's to free (`tf.tidy`, `dispose`). */
  readonly tf: typeof import('@tensorflow/tfjs-core');
  /** Double-precision linear algebra, which tfjs lacks. */
  readonly linalg: LinearAlgebra;
  /** What layers of a model do over and over, as directly as the engine can. */
  readonly ops: TensorOps;
  /** Why the native engine was not used, where it was wanted; null otherwise. */
  readonly fallbackReason: string | null;
  /** Rejects when what computes is lost for good, and a new process is needed; null where that cannot happen. */
  readonly failed: Promise<never> | null;
  /** Gives a device back. Its tensors are gone with it. */
  dispose(): Promise<void>;
}

export interface EngineOptions {
  /** `auto` (default): native where its binding loads, else wasm. */
  readonly prefer?: 'auto' | 'native' | 'webgpu' | 'wasm';
  /** With `webgpu`: take an adapter that computes on the CPU, too. For tests. */
  readonly softwareAdapter?: boolean;
}

/**
 * @throws Error with the loader's reason when `native` is asked for and its binding does not load
 * @throws TensorError DEVICE_LOST when `webgpu` is asked for and there is no adapter of a card
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const prefer = options.prefer ?? 'auto';
  const kept = { failed: null, dispose: async () => undefined };
  let fallbackReason: string | null = null;
  if (prefer === 'webgpu') {
    // Its native module is loaded only when asked for.
    const { loadTfjs } = await import('./webgpu/tfjs-backend.js');
    const { tf, version, failed, dispose } = await loadTfjs({ software: options.softwareAdapter === true });
    const ops = portableOps(tf);
    return { name: 'webgpu', version, tf, ops, linalg: jsLinearAlgebra(), fallbackReason, failed, dispose };
  }
  if (prefer !== 'wasm') {
    try {
      const { tf, binding, version } = loadNative();
      await tf.setBackend('tensorflow');
      const ops = nativeTensorOps(tf.backend() as never);
      return { name: 'native', version, tf, ops, linalg: nativeLinearAlgebra(binding), fallbackReason, ...kept };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (prefer === 'native')
        throw new Error(`the native tensor engine does not load (${reason.trim()}); run "npm run setup"`, { cause });
      fallbackReason = reason.trim();
    }
  }
  const { tf, version } = await loadWasm();
  return { name: 'wasm', version, tf, ops: portableOps(tf), linalg: jsLinearAlgebra(), fallbackReason, ...kept };
}
