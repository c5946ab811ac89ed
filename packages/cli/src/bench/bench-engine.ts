import type { RlsParts } from '@errata/rls';
import { createEngine, createMatrixEngine, type EngineProfile, type Precision } from '@errata/tensor';
import { UsageError } from '../failure.js';
import type { EngineName } from './options.js';

/** Largest dimension worked with in fp64 where the precision is not given. */
const FP64_DIMENSION = 4096;

/** The engine asked for, with fp64 linear algebra beside it. */
export async function openParts(engine: EngineName): Promise<RlsParts> {
  const { linalg } = await createEngine(engine === 'wasm' ? { prefer: 'wasm' } : {});
  return { engine: await createMatrixEngine({ prefer: engine }), linalg };
}

/**
 * The precision asked for, else fp64 up to 4,096 inputs where the engine has it.
 * @throws UsageError when the engine has not the one asked for
 */
export function choosePrecision(
  asked: 'auto' | Precision,
  dimension: number,
  engine: Pick<RlsParts['engine'], 'name' | 'precisions'>,
): Precision {
  if (asked === 'auto') return dimension <= FP64_DIMENSION && engine.precisions.includes('fp64') ? 'fp64' : 'fp32';
  if (!engine.precisions.includes(asked))
    throw new UsageError(`the ${engine.name} engine has no ${asked}: choose --precision ${engine.precisions[0]}`);
  return asked;
}

/** The better of each rate of two profiles: a floor takes what the machine can do when it is least disturbed. */
export function fasterRates(a: EngineProfile, b: EngineProfile): EngineProfile {
  return {
    precision: a.precision,
    matmulFlops: Math.max(a.matmulFlops, b.matmulFlops),
    copyBytes: Math.max(a.copyBytes, b.copyBytes),
    overhead: Math.min(a.overhead, b.overhead),
  };
}

/** The rates measured anew. */
export async function profileAgain(engine: EngineName, precision: Precision): Promise<EngineProfile> {
  const fresh = await createMatrixEngine({ prefer: engine });
  try {
    return await fresh.profile(precision);
  } finally {
    await fresh.dispose();
  }
}

/** Why times on an engine do not speak for the hardware it is meant for; null where they do. */
export function unmeasuredReason(engine: Pick<RlsParts['engine'], 'name' | 'description'>): string | null {
  return engine.name === 'webgpu' && /software|swiftshader|llvmpipe|lavapipe/i.test(engine.description)
    ? `no graphics card: ${engine.description}. The times are those of its emulation on the CPU`
    : null;
}
