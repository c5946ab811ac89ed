import {
  createPublicationRequestSchema,
  listAliasesResponseSchema,
  listPublicationsResponseSchema,
  publicationSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { seqOf } from './shared.js';

/** Adapters on servers that serve models. */
export function publicationRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/publications',
      operationId: 'createPublication',
      tag: 'Publications',
      summary: 'Bring a position of the log to a server as a LoRA adapter',
      description:
        'Exports the adapter, has the server load it (vLLM: `/v1/load_lora_adapter`), asks it a sample of the edits, points the alias at it and unloads the one before. A failure leaves the previous adapter in its place. Servers are configured (PUBLISH_TARGETS); a request names one.',
      status: 202,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_POSITION', 'UNKNOWN_CHECKPOINT', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"target": "gpu", "alias": "support"}'`,
      body: createPublicationRequestSchema,
      reply: publicationSchema,
      handler: async ({ params, body }) => {
        const stream = await deps.store.getStream(params.stream);
        const { target, alias, dtype, maxRank, samples, tolerance } = body;
        const seq = await seqOf(deps, stream, body);
        const request = { streamId: stream.id, seq, target, alias, dtype, maxRank, samples, tolerance };
        const made = await deps.store.createPublication(request);
        try {
          await deps.workflows.startPublication(made.id);
        } catch (error) {
          await deps.store.endPublication(made.id, 'failed', 'it could not be started');
          await deps.store.updateExport(made.exportId, { status: 'failed', detail: 'it could not be started' });
          throw error;
        }
        return { json: made, headers: { Location: `/v1/streams/${stream.id}/publications/${made.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/publications',
      operationId: 'listPublications',
      tag: 'Publications',
      summary: 'All publications of a stream, oldest first',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listPublicationsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { publications: await deps.store.listPublications(stream.id) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/publications/{publication}',
      operationId: 'getPublication',
      tag: 'Publications',
      summary: 'One publication and the steps it has taken',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_PUBLICATION'],
      reply: publicationSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: await deps.store.getPublication(params.publication, stream.id) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/aliases',
      operationId: 'listAliases',
      tag: 'Publications',
      summary: 'What each alias means: server, stream, position, model id there',
      status: 200,
      reply: listAliasesResponseSchema,
      handler: async () => ({ json: { aliases: await deps.store.listAliases() } }),
    }),
  ];
}
