import { ErrataError, type LayerPreparation, type Stream } from '@errata/contracts';
import { type Dependencies, longTimeoutMs, placeLayer } from './context.js';
import { requestCovariances } from './covariance.js';

/**
 * Has the inverse covariances of a stream's layers made.
 * @throws ILL_CONDITIONED naming the layers whose covariance cannot be inverted, NOT_READY while covariances are missing
 */
export async function prepareStream(dependencies: Dependencies, streamId: string, signal: AbortSignal): Promise<void> {
  const { store } = dependencies;
  const { missing } = await requestCovariances(dependencies, streamId);
  if (missing > 0)
    throw new ErrataError('NOT_READY', `the covariances of ${missing} layers of stream ${streamId} are being computed`);
  const stream = await store.getStream(streamId);
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
  // A branch is ready from the start: its origin was prepared.
  const ready = stream.origin !== null && stream.status === 'ready';
  const report = async () => {
    if (!ready)
      await store.setStreamStatus(stream.id, 'preparing', `inverse covariances: ${done} of ${layers.length} layers`);
  };
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
