import { ErrataError, type LayerPreparation, type Stream } from '@errata/contracts';
import { TensorAssembler } from '@errata/rpc';
import { type Dependencies, longTimeoutMs, placeLayer } from './context.js';

/**
 * Binds a covariance to every edited layer, computing those that no stream on this model has needed yet, and has the
 * inverse covariances made.
 * @throws ILL_CONDITIONED naming the layers whose covariance cannot be inverted
 */
export async function prepareStream(dependencies: Dependencies, streamId: string, signal: AbortSignal): Promise<void> {
  const { store, logger } = dependencies;
  const stream = await store.getStream(streamId);
  const tokens = stream.config.covarianceTokens;
  const missing: number[] = [];
  for (const layer of stream.config.layers) {
    if (await store.boundCovariance(streamId, layer)) continue;
    const found = await store.findCovariance(stream.modelId, layer, tokens);
    if (found) await store.bindCovariance(streamId, layer, found.id);
    else missing.push(layer);
  }
  if (missing.length > 0) {
    logger.info({ streamId, layers: missing, tokens }, 'computing covariances');
    await computeCovariances(dependencies, streamId, stream.modelId, missing, tokens, signal);
  }
  await store.finishPreparation(streamId, await prepareLayers(dependencies, stream, signal));
}

/** Opens the shards of every layer, those of different workers side by side. */
async function prepareLayers(
  dependencies: Dependencies,
  stream: Stream,
  signal: AbortSignal,
): Promise<LayerPreparation[]> {
  const { store, fleet, logger } = dependencies;
  const state = { streamId: stream.id, seq: stream.head, staged: [] };
  const { layers } = stream.config;
  let done = 0;
  const report = () =>
    store.setStreamStatus(stream.id, 'preparing', `inverse covariances: ${done} of ${layers.length} layers`);
  await report();
  const results = await Promise.allSettled(
    layers.map(async (layer): Promise<LayerPreparation> => {
      const placement = placeLayer(dependencies, stream, layer);
      const found = await fleet.watch(placement, ({ owner, peers }) =>
        owner.prepare({ state, layer, peers }, { timeoutMs: longTimeoutMs, signal }),
      );
      done++;
      await report();
      const { condition, lambda, requestedLambda, precision } = found;
      if (lambda !== requestedLambda)
        logger.warn({ streamId: stream.id, layer, condition, lambda, requestedLambda }, 'λ was raised');
      return { layer, condition, lambda, requestedLambda, precision };
    }),
  );
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  const refusals = failures.filter(
    (error): error is ErrataError => error instanceof ErrataError && error.code === 'ILL_CONDITIONED',
  );
  if (refusals.length > 0)
    throw new ErrataError(
      'ILL_CONDITIONED',
      `${refusals.map((refusal) => refusal.message).join('; ')}. Make a stream with "conditioning": "raise-lambda", a larger lambda or more covarianceTokens`,
      { cause: refusals[0] },
    );
  if (failures.length > 0) throw failures[0];
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

async function computeCovariances(
  { store, runtime }: Dependencies,
  streamId: string,
  modelId: string,
  layers: number[],
  tokens: number,
  signal: AbortSignal,
): Promise<void> {
  const assemblers = new Map<number, TensorAssembler>();
  let reported = 0;
  for await (const { event } of runtime.covariance({ layers, tokens }, { timeoutMs: longTimeoutMs, signal })) {
    if (event?.$case === 'progress') {
      const percent = Math.floor((100 * event.progress.tokensDone) / event.progress.tokensTotal);
      if (percent >= reported + 5) {
        reported = percent;
        await store.setStreamStatus(streamId, 'preparing', `covariance: ${percent} %`);
      }
    } else if (event?.$case === 'chunk') {
      const assembler = assemblers.get(event.chunk.layer) ?? new TensorAssembler(event.chunk);
      assemblers.set(event.chunk.layer, assembler);
      assembler.add(event.chunk);
    } else if (event?.$case === 'summary') {
      for (const layer of layers) {
        const moment = assemblers.get(layer)?.matrix();
        if (!moment) throw new ErrataError('INTERNAL', `the model runtime sent no covariance for layer ${layer}`);
        const info = {
          modelId,
          layer,
          corpusId: event.summary.corpusId,
          tokens: event.summary.tokens,
          dimension: moment.rows,
        };
        const saved = await store.saveCovariance(info, moment);
        await store.bindCovariance(streamId, layer, saved.id);
      }
      return;
    }
  }
  throw new ErrataError('NOT_READY', 'the model runtime ended the covariance early');
}
