import {
  driftResponseSchema,
  ErrataError,
  evaluationSchema,
  type LayerDrift,
  layerDrift,
  listBatchesResponseSchema,
  listEventsResponseSchema,
  type Stream,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { newestRound, readingsOf } from './guards.js';
import { askShard } from './shared.js';

/** Time for the drift figures of a layer, in milliseconds. A worker that lags reads the log first. */
const statsTimeoutMs = 120_000;

/** What happened to a stream, how far it drifted, how well its edits hold. */
export function questionRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/batches',
      operationId: 'listBatches',
      tag: 'Log',
      summary: 'Committed steps of the log',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listBatchesResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { batches: await deps.store.listBatches(stream.id) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/events',
      operationId: 'listEvents',
      tag: 'Log',
      summary: 'What happened to the stream as a whole',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listEventsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { events: await deps.store.listEvents(stream.id) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/drift',
      operationId: 'getDrift',
      tag: 'Model',
      summary: 'How far the head is from the unedited model: layers, probes, budgets, forecast',
      description:
        'The layers are measured now; probes and budgets are those of the newest round up to the head. `forecast` says how many edits are left until each budget is reached at the present slope.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'NOT_READY', 'DEADLINE_EXCEEDED'],
      reply: driftResponseSchema,
      handler: async ({ params, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        requirePrepared(stream);
        const layers = await Promise.all(stream.config.layers.map((layer) => driftOf(deps, stream, layer, signal)));
        const round = await newestRound(deps, stream);
        return {
          json: {
            seq: stream.head,
            layers,
            probes: round?.results ?? {},
            costShare: round?.costShare ?? null,
            readings: await readingsOf(deps, stream, round),
            forecast: await deps.store.forecasts(stream.id),
          },
        };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/evaluations',
      operationId: 'startEvaluation',
      tag: 'Model',
      summary: 'Re-measure all active edits at the head',
      description: 'Answers at once with the status `running`; read the result at its own address.',
      status: 202,
      errors: ['UNKNOWN_STREAM', 'NOT_READY'],
      reply: evaluationSchema,
      handler: async ({ params, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const evaluation = await deps.store.createEvaluation(stream.id, stream.head);
        try {
          await deps.workflows.evaluate(stream.id, evaluation.id);
        } catch (error) {
          const detail = error instanceof Error ? error.message : String(error);
          await deps.store
            .saveEvaluation({ ...evaluation, status: 'failed', detail })
            .catch((failure: unknown) =>
              log.warn({ err: failure, evaluationId: evaluation.id }, 'could not mark it failed'),
            );
          throw error;
        }
        const location = `/v1/streams/${stream.id}/evaluations/${evaluation.id}`;
        return { json: evaluation, headers: { Location: location, 'Retry-After': '1' } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/evaluations/{evaluation}',
      operationId: 'getEvaluation',
      tag: 'Model',
      summary: 'An evaluation and its result',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EVALUATION'],
      reply: evaluationSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.getEvaluation(stream.id, params.evaluation) };
      },
    }),
  ];
}

/** @throws NOT_READY while the covariance of the stream is being measured */
export function requirePrepared(stream: Stream): void {
  if (stream.status === 'preparing')
    throw new ErrataError('NOT_READY', `The stream ${stream.id} is still preparing: ${stream.statusDetail ?? 'wait'}`);
}

async function driftOf(deps: GatewayDeps, stream: Stream, layer: number, signal: AbortSignal): Promise<LayerDrift> {
  const state = { streamId: stream.id, seq: stream.head, staged: [] };
  const measured = await askShard(deps, stream, layer, (shard, peers) =>
    shard.stats({ state, layer, peers }, { timeoutMs: statsTimeoutMs, signal }),
  );
  return layerDrift(layer, measured);
}
