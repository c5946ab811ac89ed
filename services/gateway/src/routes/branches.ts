import { randomBytes } from 'node:crypto';
import { createBranchRequestSchema, listBranchesResponseSchema, type Stream, streamSchema } from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { idempotencyOf, targetOf, wakeQuietly } from './shared.js';

/** Longest part of the origin's name in a name made up for a branch. */
const namePartLength = 80;

/** Streams that go on from a position of another. */
export function branchRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/branches',
      operationId: 'createBranch',
      tag: 'Time travel',
      summary: 'Go on from a position in a stream of its own',
      description:
        'The branch has the history, the configuration and the covariances of the stream up to the position (the head when none is given). Nothing is copied, and what either does afterwards does not show in the other.',
      status: 201,
      errors: [
        'UNKNOWN_STREAM',
        'UNKNOWN_CHECKPOINT',
        'UNKNOWN_POSITION',
        'UNKNOWN_EDIT',
        'EDIT_NOT_ON_LINEAGE',
        'NAME_TAKEN',
        'IDEMPOTENCY_CONFLICT',
      ],
      idempotencyKey: true,
      curl: `-H 'content-type: application/json' -d '{"name": "trial"}'`,
      body: createBranchRequestSchema,
      reply: streamSchema,
      handler: async ({ params, body, idempotencyKey, log }) => {
        const origin = await deps.store.getStream(params.stream);
        const { name = branchName(origin), ...position } = body;
        const named = Object.values(position).some((value) => value !== undefined);
        const seq = named ? (await deps.store.resolvePosition(origin.id, targetOf(position))).seq : origin.head;
        const branch = await deps.store.createBranch(
          origin.id,
          { name, seq },
          idempotencyOf(idempotencyKey, `createBranch ${origin.id}`, body),
        );
        if (branch.status === 'preparing') await wakeQuietly(deps, branch.id, log);
        return { json: branch, headers: { Location: `/v1/streams/${branch.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/branches',
      operationId: 'listBranches',
      tag: 'Time travel',
      summary: 'Streams that branched off this one',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listBranchesResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { branches: await deps.store.listBranches(stream.id) } };
      },
    }),
  ];
}

function branchName({ name }: Stream): string {
  return `${name.slice(0, namePartLength).trimEnd()}-${randomBytes(3).toString('hex')}`;
}
