import { covarianceSource, ErrataError, type Stream } from '@errata/contracts';
import type { FoundDamage, Matrix, Store } from '@errata/store';
import type { CovarianceRunPlan } from '@errata/workflows';
import type { Dependencies } from './context.js';
import { addCovarianceSlice, planCovariance } from './covariance.js';

/** A covariance taken again over its source, slice by slice in the order of its first run: the same bits on the same engine. */
export async function recomputeMoment(
  dependencies: Pick<Dependencies, 'runtime' | 'store'>,
  stream: Stream,
  { id, layer }: Pick<FoundDamage, 'id' | 'layer'>,
  signal: AbortSignal,
): Promise<Matrix> {
  const at = layer ?? 0;
  const run = await planAgain(dependencies, stream, at, id, signal);
  const sums = new Float64Array((run.dimension * (run.dimension + 1)) / 2);
  let slices = 0;
  let tokens = 0;
  const store: Pick<Store, 'covarianceSlices' | 'addCovarianceSlice' | 'reportPreparation'> = {
    covarianceSlices: async () => new Map([[at, slices]]),
    async addCovarianceSlice(_run, _layer, slice) {
      for (let i = 0; i < sums.length; i++) sums[i] += slice.tokens * slice.mean[i];
      tokens += slice.tokens;
      slices++;
    },
    reportPreparation: async () => undefined,
  };
  const parts = { runtime: dependencies.runtime, store: { ...dependencies.store, ...store } };
  while (slices < run.slices) await addCovarianceSlice(parts, { run, layers: [at], streamIds: [] }, signal);
  return symmetric(sums, run.dimension, tokens);
}

/** The plan of the run that a covariance came from. @throws ErrataError LOG_CORRUPT its source gives another */
async function planAgain(
  { runtime, store }: Pick<Dependencies, 'runtime' | 'store'>,
  { id: streamId, modelId, config }: Stream,
  layer: number,
  id: string,
  signal: AbortSignal,
): Promise<CovarianceRunPlan> {
  const info = await store.boundCovariance(streamId, layer);
  if (info?.id !== id) throw new ErrataError('LOG_CORRUPT', `layer ${layer} of ${streamId} has another covariance now`);
  const source = covarianceSource(config.corpus);
  // Who asked first may have asked for more tokens than this stream.
  for (const tokens of new Set([config.covarianceTokens, info.tokens])) {
    const plan = await planCovariance({ runtime }, { modelId, source, tokens }, signal);
    if (plan.tokens === info.tokens && plan.corpusId === info.corpusId) return plan;
  }
  throw new ErrataError(
    'LOG_CORRUPT',
    `the source of covariance ${id} gives other tokens than those it was taken over`,
  );
}

function symmetric(sums: Float64Array, dimension: number, tokens: number): Matrix {
  const data = new Float32Array(dimension * dimension);
  for (let row = 0, i = 0; row < dimension; row++)
    for (let column = 0; column <= row; column++, i++) {
      const value = sums[i] / tokens;
      data[row * dimension + column] = value;
      data[column * dimension + row] = value;
    }
  return { rows: dimension, columns: dimension, data };
}
