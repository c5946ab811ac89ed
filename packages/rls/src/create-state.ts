import { chooseFoldRank, USUAL_BATCH } from './cost-model.js';
import type { InverseCovariance } from './inverse.js';
import { LayerState } from './layer-state.js';
import type { RlsParts } from './parts.js';
import type { StateOptions } from './state-options.js';

/**
 * A state without any batch. Its fold rank follows from the engine's measured rates unless it is given.
 * @param inverse shared, not owned
 * @throws RlsError INVALID_TENSOR
 */
export async function createState(
  parts: RlsParts,
  inverse: InverseCovariance,
  options: StateOptions,
): Promise<LayerState> {
  return new LayerState(parts, inverse, { ...options, foldRank: options.foldRank ?? (await measuredFoldRank()) });

  async function measuredFoldRank(): Promise<number> {
    const { engine } = parts;
    const { start, end } = options.rows ?? { start: 0, end: options.outputs };
    const shape = {
      inputs: inverse.dimension,
      outputs: end - start,
      batch: options.batch ?? USUAL_BATCH,
      share: 1 / inverse.share.count,
    };
    const host = engine.precisions.includes('fp64') ? await engine.profile('fp64') : undefined;
    return chooseFoldRank(shape, await engine.profile(inverse.precision), host);
  }
}
