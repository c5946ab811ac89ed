import {
  ErrataError,
  type ErrorDetail,
  editInputSchema,
  editSchema,
  headChangeSchema,
  limits,
  listEditsQuerySchema,
  listEditsResponseSchema,
  revokeRequestSchema,
  submitEditsRequestSchema,
  submitEditsResponseSchema,
} from '@errata/contracts';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import type { GatewayMetrics } from '../metrics.js';
import { idempotencyOf, wakeQuietly } from './shared.js';

/** Sending, reading and revoking edits. */
export function editRoutes(deps: GatewayDeps, metrics: Pick<GatewayMetrics, 'editsAccepted'>): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/edits',
      operationId: 'submitEdits',
      tag: 'Edits',
      summary: 'Send edits, as JSON or one a line as NDJSON',
      description:
        'All or nothing: with any fault nothing is stored and the answer names every faulty line (up to 20) and field. 202 is sent only after the edits are committed. A repeat with the same Idempotency-Key and the same edits answers with the edits of the first request.',
      status: 202,
      errors: [
        'UNKNOWN_STREAM',
        'MALFORMED_NDJSON',
        'PAYLOAD_TOO_LARGE',
        'UNSUPPORTED_MEDIA_TYPE',
        'IDEMPOTENCY_CONFLICT',
      ],
      idempotencyKey: true,
      curl: `-H 'content-type: application/x-ndjson' --data-binary @edits.ndjson`,
      body: submitEditsRequestSchema,
      ndjson: { item: editInputSchema, field: 'edits', maxItems: limits.editsPerRequest },
      reply: submitEditsResponseSchema,
      handler: async ({ params, body, idempotencyKey, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const stored = await deps.store.enqueueEdits(
          stream.id,
          body.edits,
          idempotencyOf(idempotencyKey, 'submitEdits', body),
        );
        if (!stored.replayed) {
          metrics.editsAccepted.inc(stored.edits.length);
          await wakeQuietly(deps, stream.id, log);
        }
        return {
          json: { edits: stored.edits.map(({ id, ordinal, status, reason }) => ({ id, ordinal, status, reason })) },
          ...(stored.replayed && { headers: { 'Idempotency-Replayed': 'true' } }),
        };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/edits',
      operationId: 'listEdits',
      tag: 'Edits',
      summary: 'Edits of a stream in the order of arrival',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      query: z.strictObject(listEditsQuerySchema.shape),
      reply: listEditsResponseSchema,
      handler: async ({ params, query }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.listEdits(stream.id, query) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/edits/{edit}',
      operationId: 'getEdit',
      tag: 'Edits',
      summary: 'One edit',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT'],
      reply: editSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.getEdit(stream.id, params.edit) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/revocations',
      operationId: 'revokeEdits',
      tag: 'Edits',
      summary: 'Take edits back out of the weights, exactly',
      description: 'Waits for the batch in progress, then appends a step with sign −1 to the log and moves the head.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT', 'EDIT_NOT_REVOCABLE', 'REVOKE_ILL_CONDITIONED', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"edits": ["edt_01…"], "reason": "no longer true"}'`,
      body: revokeRequestSchema,
      reply: headChangeSchema,
      handler: async ({ params, body, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        const ids = [...new Set(body.edits)];
        await requireEdits(deps, stream.id, ids, body.edits);
        return { json: await deps.workflows.revoke(stream.id, ids, body.reason ?? null, signal) };
      },
    }),
  ];
}

/** @throws UNKNOWN_EDIT naming every id that the stream does not have */
async function requireEdits(
  deps: GatewayDeps,
  streamId: string,
  ids: readonly string[],
  given: readonly string[],
): Promise<void> {
  const details: ErrorDetail[] = [];
  for (const id of ids) {
    try {
      await deps.store.getEdit(streamId, id);
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'UNKNOWN_EDIT') throw error;
      details.push({ field: `edits[${given.indexOf(id)}]`, message: error.message });
    }
  }
  if (details.length > 0) throw new ErrataError('UNKNOWN_EDIT', details.map((d) => d.message).join('; '), { details });
}
