import { locateTools } from '@errata/devstack';
import { createEngine, type Engine } from '@errata/tensor';
import type { ConformanceContext, FixtureKind } from './types.js';

function engineChoice(name: string | undefined): 'auto' | 'native' | 'webgpu' | 'wasm' {
  if (name === undefined || name === '') return 'auto';
  if (name === 'auto' || name === 'native' || name === 'webgpu' || name === 'wasm') return name;
  throw new Error(`ERRATA_ENGINE: ${JSON.stringify(name)} is none of auto, native, webgpu, wasm`);
}

/**
 * What this machine offers the checks: one engine for all files (ERRATA_ENGINE chooses it), and the model file of
 * MODEL_PATH or of the set-up, asked for only when a fixture needs it.
 */
export function machineContext(
  env: Readonly<Record<string, string | undefined>> = process.env,
): (kind: FixtureKind) => Promise<ConformanceContext> {
  let engine: Promise<Engine> | undefined;
  return async (kind) => {
    engine ??= createEngine({ prefer: engineChoice(env.ERRATA_ENGINE) });
    if (kind === 'rls') return { engine: await engine, modelPath: '' };
    const { modelPath } = locateTools(env);
    if (!modelPath) throw new Error('there is no model file: run "npm run setup" or set MODEL_PATH to a GGUF file');
    return { engine: await engine, modelPath };
  };
}
