import { covarianceSource, ErrataError } from '@errata/contracts';
import { type CovarianceSource, type DenseMatrix, TensorAssembler } from '@errata/rpc';
import type { CovarianceActivities, CovarianceArgs, CovarianceRunPlan } from '@errata/workflows';
import { type Dependencies, longTimeoutMs, runtimeTimeoutMs } from './context.js';

/** Steps in which progress is shown, in percent. */
const percentStep = 5;

/** Binds covariances to the layers of a stream; those that are missing are asked for, with the stream to be told. */
export async function requestCovariances(
  { store, covariances, logger }: Dependencies,
  streamId: string,
): Promise<{ missing: number }> {
  const { modelId, config } = await store.getStream(streamId);
  const source = covarianceSource(config.corpus);
  const missing: number[] = [];
  for (const layer of config.layers) {
    if (await store.boundCovariance(streamId, layer)) continue;
    const found = await store.findCovariance(modelId, layer, source, config.covarianceTokens);
    if (found) await store.bindCovariance(streamId, layer, found.id);
    else missing.push(layer);
  }
  if (missing.length > 0) {
    logger.info({ streamId, layers: missing, source, tokens: config.covarianceTokens }, 'covariances are needed');
    await covariances.join({ modelId, source, tokens: config.covarianceTokens }, { streamId, layers: missing });
  }
  return { missing: missing.length };
}

/** @throws UNKNOWN_MODEL the runtime serves another, UNKNOWN_CORPUS, INVALID_REQUEST the text is too short */
export async function planCovariance(
  { runtime }: Pick<Dependencies, 'runtime'>,
  args: CovarianceArgs,
  signal: AbortSignal,
): Promise<CovarianceRunPlan> {
  const plan = await runtime.planCovariance(planRequest(args), { timeoutMs: runtimeTimeoutMs, signal });
  return { ...args, askedTokens: args.tokens, ...plan };
}

/**
 * Has the next slice computed for the layers that lack it and adds it to their sums. What is next is read from the
 * database, so that a second attempt goes on where the first one ended.
 */
export async function addCovarianceSlice(
  { runtime, store }: Pick<Dependencies, 'runtime' | 'store'>,
  { run, layers, streamIds }: Parameters<CovarianceActivities['addCovarianceSlice']>[0],
  signal: AbortSignal,
): Promise<{ slices: number }> {
  const counts = await store.covarianceSlices(run, layers);
  const index = Math.min(...counts.values());
  if (index >= run.slices) return { slices: index };
  const due = layers.filter((layer) => counts.get(layer) === index);
  const show = progressOf(store, streamIds);
  await show(index / run.slices);

  const plan = planRequest({ ...run, tokens: run.askedTokens });
  const request = { plan, corpusId: run.corpusId, layers: due, slice: index };
  const assemblers = new Map<number, TensorAssembler>();
  const added = new Set<number>();
  let tokens = 0;
  const take = async (layer: number, { rows, columns, data }: DenseMatrix): Promise<void> => {
    if (tokens === 0 || columns !== 1 || rows !== (run.dimension * (run.dimension + 1)) / 2)
      throw new ErrataError(
        'INVALID_TENSOR',
        `slice ${index} of layer ${layer} came as ${rows} × ${columns} over ${tokens} tokens`,
      );
    await store.addCovarianceSlice(run, layer, { index, tokens, mean: data });
    assemblers.delete(layer);
    added.add(layer);
  };
  for await (const { event } of runtime.covariance(request, { timeoutMs: longTimeoutMs, signal })) {
    switch (event?.$case) {
      case 'progress':
        await show((index + event.progress.tokensDone / event.progress.tokensTotal) / run.slices);
        break;
      case 'summary':
        tokens = event.summary.tokens;
        break;
      case 'chunk': {
        const { layer } = event.chunk;
        const assembler = assemblers.get(layer) ?? new TensorAssembler(event.chunk);
        assemblers.set(layer, assembler);
        assembler.add(event.chunk);
        if (assembler.complete) await take(layer, assembler.matrix());
        break;
      }
      case undefined:
        break;
    }
  }
  const absent = due.filter((layer) => !added.has(layer));
  if (absent.length > 0)
    throw new ErrataError('NOT_READY', `the model runtime ended slice ${index} without layers ${absent.join(', ')}`);
  return { slices: index + 1 };
}

export async function finishCovariances(
  { store, logger }: Pick<Dependencies, 'store' | 'logger'>,
  { run, layers }: Parameters<CovarianceActivities['finishCovariances']>[0],
  signal: AbortSignal,
): Promise<void> {
  for (const layer of layers) {
    signal.throwIfAborted();
    const { id } = await store.finishCovariance(run, layer);
    logger.info({ covariance: id, layer, source: run.source, tokens: run.tokens }, 'a covariance is stored');
  }
}

/** Shows the streams that wait how far the run is, in steps. */
function progressOf(store: Dependencies['store'], streamIds: readonly string[]): (share: number) => Promise<void> {
  let shown = -1;
  return async (share) => {
    const step = Math.floor((100 * share) / percentStep);
    if (step <= shown) return;
    shown = step;
    await store.reportPreparation(streamIds, `covariance: ${step * percentStep} %`);
  };
}

function planRequest({ modelId, source, tokens }: CovarianceArgs) {
  return { modelId, source: { kind: sourceKind(source) }, tokens };
}

function sourceKind(source: string): NonNullable<CovarianceSource['kind']> {
  if (source === 'default') return { $case: 'builtIn', builtIn: true };
  if (source.startsWith('model:')) return { $case: 'modelSeed', modelSeed: Number(source.slice('model:'.length)) };
  return { $case: 'corpus', corpus: source };
}
