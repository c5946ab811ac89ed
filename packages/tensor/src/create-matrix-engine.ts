import { hostMatrixEngine } from './host-engine.js';
import type { MatrixEngine } from './matrix-engine.js';
import { nativeMatrixEngine } from './native-engine.js';

export interface MatrixEngineOptions {
  /** `auto` (default): native where its binding loads, else wasm. */
  readonly prefer?: 'auto' | 'native' | 'webgpu' | 'wasm';
}

/** @throws Error with the loader's reason when the engine asked for does not load */
export async function createMatrixEngine(options: MatrixEngineOptions = {}): Promise<MatrixEngine> {
  const prefer = options.prefer ?? 'auto';
  switch (prefer) {
    case 'wasm':
      return hostMatrixEngine();
    case 'webgpu':
      // Its native module is loaded only when asked for.
      return (await import('./webgpu/index.js')).createWebGpuEngine();
    case 'native':
    case 'auto':
      try {
        return nativeMatrixEngine();
      } catch (cause) {
        if (prefer === 'auto') return hostMatrixEngine();
        const reason = cause instanceof Error ? cause.message.trim() : String(cause);
        throw new Error(`the native tensor engine does not load (${reason}); run "npm run setup"`, { cause });
      }
  }
}
