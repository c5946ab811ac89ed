import {
  canaryInputSchema,
  canarySchema,
  type GuardReading,
  guardReadings,
  guardsResponseSchema,
  listCanariesResponseSchema,
  listProbesQuerySchema,
  listProbesResponseSchema,
  type ProbeRound,
  probeLimits,
  type SettleQuarantineResponse,
  type Stream,
  setGuardsRequestSchema,
  settleQuarantineRequestSchema,
  settleQuarantineResponseSchema,
} from '@errata/contracts';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { wakeQuietly } from './shared.js';

/** Ids in an answer. */
const namedEdits = 1000;
const removedSchema = z.object({ name: z.string() }).meta({ id: 'RemoveCanaryResponse' });

/** What is watched of a stream, and what happens when a budget is exceeded. */
export function guardRoutes(deps: GatewayDeps): Route[] {
  const { store } = deps;
  return [
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/guards',
      operationId: 'getGuards',
      tag: 'Drift',
      summary: 'The budgets of a stream, what happens when they are exceeded, and where they stand',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: guardsResponseSchema,
      handler: async ({ params }) => ({ json: await guardsOf(deps, await store.getStream(params.stream)) }),
    }),
    defineRoute({
      method: 'PATCH',
      path: '/v1/streams/{stream}/guards',
      operationId: 'setGuards',
      tag: 'Drift',
      summary: 'Change budgets, actions and how much is measured',
      description:
        'What is left out stays. `warn` records the event; `pause` holds the stream besides; `quarantine` takes the batch back; `rollback` goes back to the last position at which the budget was kept. Batches that take edits out are never undone: they pause the stream. A batch under way is judged by the settings it ends with.',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      curl: `-H 'content-type: application/json' -d '{"budgets": {"divergence": {"limit": 0.2, "action": "rollback"}}, "notify": "ops"}'`,
      body: setGuardsRequestSchema,
      reply: guardsResponseSchema,
      handler: async ({ params, body }) => {
        const stream = await store.getStream(params.stream);
        await store.setGuards(stream.id, body);
        return { json: await guardsOf(deps, stream) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/probes',
      operationId: 'listProbes',
      tag: 'Drift',
      summary: 'What was measured after each batch',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      query: listProbesQuerySchema,
      reply: listProbesResponseSchema,
      handler: async ({ params, query }) => {
        const stream = await store.getStream(params.stream);
        return { json: { rounds: await store.listRounds(stream.id, query.limit) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/canaries',
      operationId: 'listCanaries',
      tag: 'Drift',
      summary: 'Questions whose answer must stay',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listCanariesResponseSchema,
      handler: async ({ params }) => {
        const stream = await store.getStream(params.stream);
        return { json: { canaries: await store.listCanaries(stream.id) } };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/canaries',
      operationId: 'addCanary',
      tag: 'Drift',
      summary: 'Add a question whose answer must stay',
      description:
        'It is asked after batches. It counts as lost where the model does not answer it as expected, though the unedited model does, or it did at an earlier position. The same again is a no-op.',
      status: 201,
      errors: ['UNKNOWN_STREAM', 'NAME_TAKEN'],
      curl: `-H 'content-type: application/json' -d '{"name": "capital", "prompt": "The capital of France is", "expected": "Paris"}'`,
      body: canaryInputSchema,
      reply: canarySchema,
      handler: async ({ params, body }) => {
        const stream = await store.getStream(params.stream);
        return { json: await store.addCanary(stream.id, body) };
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/v1/streams/{stream}/canaries/{canary}',
      operationId: 'removeCanary',
      tag: 'Drift',
      summary: 'Ask a question no more',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_CANARY'],
      reply: removedSchema,
      handler: async ({ params }) => {
        const stream = await store.getStream(params.stream);
        await store.removeCanary(stream.id, params.canary);
        return { json: { name: params.canary } };
      },
    }),
    ...(['release', 'reject'] as const).map((operation) =>
      defineRoute({
        method: 'POST',
        path: `/v1/streams/{stream}/quarantine/${operation}`,
        operationId: `${operation}Quarantined`,
        tag: 'Drift',
        summary:
          operation === 'release' ? 'Write edits that a guard took back again' : 'End edits that a guard took back',
        description:
          operation === 'release'
            ? 'They are queued again and judged again. All that are in quarantine where none are named; `GET …/edits?status=quarantined` lists them.'
            : 'They end `rejected`. All that are in quarantine where none are named.',
        status: 200,
        errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT', 'EDIT_NOT_QUARANTINED'],
        curl: `-H 'content-type: application/json' -d '{}'`,
        body: settleQuarantineRequestSchema,
        reply: settleQuarantineResponseSchema,
        handler: async ({ params, body, log }) => {
          const stream = await store.getStream(params.stream);
          const options = { editIds: body.edits, reason: body.reason };
          const ids = await store.settleQuarantine(stream.id, operation, options);
          if (operation === 'release' && ids.length > 0) await wakeQuietly(deps, stream.id, log);
          const json: SettleQuarantineResponse = { settled: ids.length, edits: ids.slice(0, namedEdits) };
          return { json };
        },
      }),
    ),
  ];
}

/** The newest round of the head's lineage; none where nothing was measured yet. */
export async function newestRound({ store }: GatewayDeps, stream: Stream): Promise<ProbeRound | undefined> {
  return (await store.listRounds(stream.id, probeLimits.rounds)).findLast((round) => round.onHead);
}

/** Where the budgets of a stream stand at its head. */
export async function readingsOf(
  { store }: GatewayDeps,
  stream: Stream,
  round: ProbeRound | undefined,
): Promise<GuardReading[]> {
  if (round === undefined) return [];
  const settings = await store.getGuards(stream.id);
  return guardReadings(settings, round.seq, round.results, await store.batchDrift(stream.id, round.seq));
}

async function guardsOf(deps: GatewayDeps, stream: Stream) {
  const readings = await readingsOf(deps, stream, await newestRound(deps, stream));
  return { streamId: stream.id, settings: await deps.store.getGuards(stream.id), readings };
}
