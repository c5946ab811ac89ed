import {
  checkpointSchema,
  createCheckpointRequestSchema,
  headChange,
  headChangeSchema,
  listCheckpointsResponseSchema,
  rollbackRequestSchema,
  streamSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { idempotencyOf, targetOf } from './shared.js';

/** Checkpoints, rollback, pause and resume: all through the stream's workflow, so that they never race a batch. */
export function controlRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/checkpoints',
      operationId: 'createCheckpoint',
      tag: 'Time travel',
      summary: 'Name the head',
      status: 201,
      errors: ['UNKNOWN_STREAM', 'NAME_TAKEN', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"name": "before-release"}'`,
      body: createCheckpointRequestSchema,
      reply: checkpointSchema,
      handler: async ({ params, body, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.workflows.checkpoint(stream.id, body.name, signal) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/checkpoints',
      operationId: 'listCheckpoints',
      tag: 'Time travel',
      summary: 'Named positions of the log',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listCheckpointsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { checkpoints: await deps.store.listCheckpoints(stream.id) } };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/rollback',
      operationId: 'rollback',
      tag: 'Time travel',
      summary: 'Move the head to a position, a checkpoint, a time, or before an edit',
      description:
        'Nothing is deleted: the steps left behind stay in the log, off the head’s lineage, and their seq brings the head forward again. A time means where the head was then, whatever happened since.',
      status: 200,
      errors: [
        'UNKNOWN_STREAM',
        'UNKNOWN_CHECKPOINT',
        'UNKNOWN_POSITION',
        'UNKNOWN_EDIT',
        'EDIT_NOT_ON_LINEAGE',
        'IDEMPOTENCY_CONFLICT',
        'NOT_READY',
      ],
      idempotencyKey: true,
      curl: `-H 'content-type: application/json' -d '{"checkpoint": "before-release"}'`,
      body: rollbackRequestSchema,
      reply: headChangeSchema,
      handler: async ({ params, body, idempotencyKey, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        const idempotency = idempotencyOf(idempotencyKey, 'rollback', body);
        const earlier = idempotency && (await deps.store.rollbackAnswered(stream.id, idempotency));
        if (earlier)
          return {
            json: headChange(earlier.head, earlier.hash, earlier.editIds),
            headers: { 'Idempotency-Replayed': 'true' },
          };
        const { seq } = await deps.store.resolvePosition(stream.id, targetOf(body));
        return { json: await deps.workflows.rollback(stream.id, seq, idempotency, signal) };
      },
    }),
    ...(['pause', 'resume'] as const).map((operation) =>
      defineRoute({
        method: 'POST',
        path: `/v1/streams/{stream}/${operation}`,
        operationId: `${operation}Stream`,
        tag: 'Streams',
        summary: operation === 'pause' ? 'Stop taking new batches' : 'Take batches again',
        description:
          operation === 'pause'
            ? 'Waits for the batch in progress. Edits are still accepted and stay queued.'
            : 'Answers when the stream works again.',
        status: 200,
        errors: ['UNKNOWN_STREAM', 'NOT_READY'],
        reply: streamSchema,
        handler: async ({ params, signal }) => {
          const stream = await deps.store.getStream(params.stream);
          await deps.workflows[operation](stream.id, signal);
          return { json: await deps.store.getStream(stream.id) };
        },
      }),
    ),
  ];
}
