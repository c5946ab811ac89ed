import { jsLinearAlgebra } from './f64-js.js';
import { nativeLinearAlgebra } from './f64-native.js';
import type { LinearAlgebra } from './linear-algebra.js';
import { loadNative } from './load-native.js';
import { loadWasm } from './load-wasm.js';
import { type RawOps, rawOps } from './raw-ops.js';

/** Where tensors are computed. tfjs keeps one active backend a process: the engine created last is the active one. */
export interface Engine {
  readonly name: 'native' | 'wasm';
  /** Versions of tfjs and of what computes underneath. */
  readonly version: string;
  /** tfjs on this engine's backend; tensors are the caller's to free (`tf.tidy`, `dispose`). */
  readonly tf: typeof import('@tensorflow/tfjs-core');
  /** Double-precision linear algebra, which tfjs lacks. */
  readonly linalg: LinearAlgebra;
  /** TensorFlow ops by name; null on wasm. */
  readonly raw: RawOps | null;
  /** Why the native engine was not used, where it was wanted; null otherwise. */
  readonly fallbackReason: string | null;
}

export interface EngineOptions {
  /** `auto` (default): native where its binding loads, else wasm. */
  readonly prefer?: 'auto' | 'native' | 'wasm';
}

/** @throws Error with the loader's reason when `native` is asked for and its binding does not load */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const prefer = options.prefer ?? 'auto';
  let fallbackReason: string | null = null;
  if (prefer !== 'wasm') {
    try {
      const { tf, binding, version } = loadNative();
      await tf.setBackend('tensorflow');
      const raw = rawOps(tf, binding);
      return { name: 'native', version, tf, linalg: nativeLinearAlgebra(binding), raw, fallbackReason };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (prefer === 'native')
        throw new Error(`the native tensor engine does not load (${reason.trim()}); run "npm run setup"`, { cause });
      fallbackReason = reason.trim();
    }
  }
  const { tf, version } = await loadWasm();
  return { name: 'wasm', version, tf, linalg: jsLinearAlgebra(), raw: null, fallbackReason };
}
