import {
  collectGarbageRequestSchema,
  collectGarbageResponseSchema,
  listSnapshotsResponseSchema,
  takeSnapshotRequestSchema,
  takeSnapshotResponseSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { positionOf } from './shared.js';

const DAY_MS = 86_400_000;

/** Snapshots of positions, and what is removed when nothing reaches it any more. */
export function retentionRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/snapshots',
      operationId: 'takeSnapshot',
      tag: 'Time travel',
      summary: 'Keep the weights of a position, so that going back there is fast',
      description:
        'Of the head, where neither `seq` nor `checkpoint` is given. Snapshots are taken by themselves as the log grows; none is needed for correctness.',
      status: 201,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_CHECKPOINT', 'UNKNOWN_POSITION', 'POSITION_COLLECTED', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"checkpoint": "before-release"}'`,
      body: takeSnapshotRequestSchema,
      reply: takeSnapshotResponseSchema,
      handler: async ({ params, body, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        const seq = await positionOf(deps, stream, body.checkpoint ?? body.seq);
        return { json: { snapshot: seq === 0 ? null : await deps.workflows.takeSnapshot(stream.id, seq, signal) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/snapshots',
      operationId: 'listSnapshots',
      tag: 'Time travel',
      summary: 'Positions whose weights are kept',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listSnapshotsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { snapshots: await deps.store.listSnapshots(stream.id) } };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/collections',
      operationId: 'collectGarbage',
      tag: 'Log',
      summary: 'Remove what no head, checkpoint or branch reaches',
      description:
        'Steps that a rollback left behind longer ago than `keepDays`, their snapshots, chunks that nothing names, and notifications of guards that ended longer ago. A request that is given up leaves the rest for the next.',
      status: 200,
      errors: ['NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"keepDays": 30, "dryRun": true}'`,
      body: collectGarbageRequestSchema,
      reply: collectGarbageResponseSchema,
      handler: async ({ body: { keepDays, dryRun }, signal }) => {
        const found = await deps.store.collectGarbage({ keepMs: keepDays * DAY_MS, dryRun, signal });
        return { json: { ...found, dryRun } };
      },
    }),
  ];
}
