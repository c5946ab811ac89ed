import {
  editHistorySchema,
  editInputSchema,
  editSchema,
  limits,
  listEditsQuerySchema,
  listEditsResponseSchema,
  patchEditRequestSchema,
  submitEditsRequestSchema,
  submitEditsResponseSchema,
} from '@errata/contracts';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import type { GatewayMetrics } from '../metrics.js';
import { idempotencyOf, wakeQuietly } from './shared.js';

/** Sending and reading edits. */
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
      method: 'GET',
      path: '/v1/streams/{stream}/edits/{edit}/history',
      operationId: 'getEditHistory',
      tag: 'Edits',
      summary: 'What became of an edit, step by step',
      description: 'When it was accepted, resolved, written, replaced, taken out, brought back, and by what.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT'],
      reply: editHistorySchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.editHistory(stream.id, params.edit) };
      },
    }),
    defineRoute({
      method: 'PATCH',
      path: '/v1/streams/{stream}/edits/{edit}',
      operationId: 'patchEdit',
      tag: 'Edits',
      summary: 'Change when an edit is taken out again, or clear it with null',
      description: 'An edit that has been taken out keeps its new expiry for the case that a rollback brings it back.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EDIT', 'EDIT_NOT_REVOCABLE'],
      curl: `-H 'content-type: application/json' -d '{"expiresAt": "2099-12-31T23:59:00+01:00"}'`,
      body: patchEditRequestSchema,
      reply: editSchema,
      handler: async ({ params, body, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const { edit, streams } = await deps.store.setExpiry(stream.id, params.edit, body.expiresAt);
        for (const id of streams) await wakeQuietly(deps, id, log);
        return { json: edit };
      },
    }),
  ];
}
