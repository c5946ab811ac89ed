import {
  addCorpusQuerySchema,
  corpusIdSchema,
  corpusLimits,
  corpusSchema,
  deleteCorpusResponseSchema,
  ErrataError,
  listCorporaResponseSchema,
} from '@errata/contracts';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';

/** Texts that covariances can be taken over. */
export function corpusRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/corpora',
      operationId: 'addCorpus',
      tag: 'Corpora',
      summary: 'Upload a text that the covariance of streams is taken over',
      description: `At most ${corpusLimits.bytes / 1024 / 1024} MB of UTF-8. It is named by its content: the same text again is the same corpus. A stream uses it by \`config.corpus.id\`.`,
      status: 201,
      errors: ['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'],
      curl: `-H 'content-type: text/plain' --data-binary @manual.txt`,
      query: z.strictObject(addCorpusQuerySchema.shape),
      body: z.string(),
      text: { maxBytes: corpusLimits.bytes },
      reply: corpusSchema,
      handler: async ({ query, body }) => {
        const corpus = await deps.store.addCorpus(query.name, body);
        return { json: corpus, headers: { Location: `/v1/corpora/${corpus.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/corpora',
      operationId: 'listCorpora',
      tag: 'Corpora',
      summary: 'All uploaded texts',
      status: 200,
      reply: listCorporaResponseSchema,
      handler: async () => ({ json: { corpora: await deps.store.listCorpora() } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/corpora/{corpus}',
      operationId: 'getCorpus',
      tag: 'Corpora',
      summary: 'One uploaded text: its name, its size and how many streams name it',
      status: 200,
      errors: ['UNKNOWN_CORPUS'],
      reply: corpusSchema,
      handler: async ({ params }) => ({ json: await deps.store.getCorpus(corpusId(params.corpus)) }),
    }),
    defineRoute({
      method: 'DELETE',
      path: '/v1/corpora/{corpus}',
      operationId: 'deleteCorpus',
      tag: 'Corpora',
      summary: 'Forget a text that no stream names',
      description: 'Covariances that were taken over it stay.',
      status: 200,
      errors: ['UNKNOWN_CORPUS', 'CORPUS_IN_USE'],
      reply: deleteCorpusResponseSchema,
      handler: async ({ params }) => {
        const id = corpusId(params.corpus);
        await deps.store.deleteCorpus(id);
        return { json: { id } };
      },
    }),
  ];
}

function corpusId(given: string): string {
  if (corpusIdSchema.safeParse(given).success) return given;
  throw new ErrataError(
    'UNKNOWN_CORPUS',
    `${JSON.stringify(given.slice(0, 100))} is no id of a corpus: it is crp_ and 64 hexadecimal digits`,
  );
}
