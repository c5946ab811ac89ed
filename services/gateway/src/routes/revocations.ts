import { setTimeout } from 'node:timers/promises';
import {
  ErrataError,
  hasEnded,
  isErrorCode,
  listRevocationsResponseSchema,
  previewRevocationRequestSchema,
  type Revocation,
  revocationPreviewSchema,
  revocationSchema,
  revokeRequestSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { idempotencyOf, wakeQuietly } from './shared.js';

/** Longest wait for the end of a revocation: what stands between a client and this server closes silent requests after a minute or more. */
const waitMs = 55_000;
/** Waits between two looks: the first, and the longest. */
const pauseMs = { first: 20, most: 500 };

/** Taking edits out of the weights. */
export function revocationRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/revocations',
      operationId: 'revokeEdits',
      tag: 'Revocations',
      summary: 'Take edits back out of the weights, exactly',
      description:
        'Stored first, then carried out between two batches, whatever becomes of this request: 256 edits a batch, each batch a step of the log with sign −1, committed as a whole. Queued edits that are meant (but not by id) end `rejected`. Answers when it has ended; after a minute, or with `"wait": false`, with how far it is.',
      status: 200,
      errors: [
        'UNKNOWN_STREAM',
        'UNKNOWN_EDIT',
        'EDIT_NOT_REVOCABLE',
        'REVOKE_ILL_CONDITIONED',
        'IDEMPOTENCY_CONFLICT',
        'NOT_READY',
      ],
      idempotencyKey: true,
      curl: `-H 'content-type: application/json' -d '{"sources": ["ticket 42"], "reason": "the source was wrong"}'`,
      body: revokeRequestSchema,
      reply: revocationSchema,
      handler: async ({ params, body, idempotencyKey, signal, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const { reason = null, retarget, verify, wait, ...selection } = body;
        const idempotency = idempotencyOf(idempotencyKey, 'revokeEdits', { ...body, wait: undefined });
        const asked = { selection, reason, retarget, verify };
        const { revocation, replayed } = await deps.store.createRevocation(stream.id, asked, idempotency);
        if (!hasEnded(revocation)) await wakeQuietly(deps, stream.id, log);
        const now = wait ? await endOfRevocation(deps, revocation, signal) : revocation;
        return { json: now, ...(replayed && { headers: { 'Idempotency-Replayed': 'true' } }) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/revocations/preview',
      operationId: 'previewRevocation',
      tag: 'Revocations',
      summary: 'What a revocation would take out now; changes nothing',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT', 'EDIT_NOT_REVOCABLE'],
      curl: `-H 'content-type: application/json' -d '{"tags": ["prices"]}'`,
      body: previewRevocationRequestSchema,
      reply: revocationPreviewSchema,
      handler: async ({ params, body }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.previewRevocation(stream.id, body) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/revocations',
      operationId: 'listRevocations',
      tag: 'Revocations',
      summary: 'Revocations of a stream, expiries included: the newest hundred',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listRevocationsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { revocations: await deps.store.listRevocations(stream.id) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/revocations/{revocation}',
      operationId: 'getRevocation',
      tag: 'Revocations',
      summary: 'How far a revocation is, and how exact it was',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_REVOCATION'],
      reply: revocationSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.getRevocation(stream.id, params.revocation) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/revocations/{revocation}/cancel',
      operationId: 'cancelRevocation',
      tag: 'Revocations',
      summary: 'End a revocation after the batch under way',
      description: 'What is committed stays: roll back to before it to undo that.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_REVOCATION', 'REVOCATION_ENDED'],
      reply: revocationSchema,
      handler: async ({ params, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const revocation = await deps.store.cancelRevocation(stream.id, params.revocation);
        if (!hasEnded(revocation)) await wakeQuietly(deps, stream.id, log);
        return { json: revocation };
      },
    }),
  ];
}

/**
 * The revocation when it has ended, or as it is after `waitMs`.
 * @throws the error that it ended with; CANCELLED when the caller goes away, which leaves it going on
 */
export async function endOfRevocation(
  deps: Pick<GatewayDeps, 'store'>,
  revocation: Revocation,
  signal: AbortSignal,
): Promise<Revocation> {
  const end = Date.now() + waitMs;
  let now = revocation;
  for (let pause = pauseMs.first; !hasEnded(now) && Date.now() < end; pause = Math.min(pauseMs.most, pause * 1.5)) {
    try {
      await setTimeout(pause, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new ErrataError('CANCELLED', `The request was given up; ${now.id} goes on`, { cause: error });
    }
    now = await deps.store.getRevocation(revocation.streamId, revocation.id);
  }
  if (now.failure === null) return now;
  const { code, message } = now.failure;
  throw new ErrataError(isErrorCode(code) ? code : 'INTERNAL', message);
}
