import { randomBytes } from 'node:crypto';
import {
  createStreamRequestSchema,
  type EditorConfig,
  editorConfigSchema,
  listModelsResponseSchema,
  listStreamsResponseSchema,
  type Model,
  streamSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { detailsOf, invalid } from '../http/validate.js';
import { findModel, registerServedModel } from './models.js';
import { idempotencyOf, wakeQuietly } from './shared.js';

/** Models and streams. */
export function streamRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/v1/models',
      operationId: 'listModels',
      tag: 'Streams',
      summary: 'Models that can be edited',
      status: 200,
      reply: listModelsResponseSchema,
      handler: async () => {
        await registerServedModel(deps);
        return { json: { models: await deps.store.listModels() } };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams',
      operationId: 'createStream',
      tag: 'Streams',
      summary: 'Create a stream of edits on a model',
      description:
        'The configuration starts from the preset of the model; `config` overrides single fields. The stream is `preparing` until the covariance of its layers is there; edits can be sent at once. With `adapter` the log begins with an uploaded adapter, as one edit that can be taken out like any other.',
      status: 201,
      errors: [
        'UNKNOWN_MODEL',
        'UNKNOWN_CORPUS',
        'UNKNOWN_ADAPTER',
        'ADAPTER_REFUSED',
        'NAME_TAKEN',
        'IDEMPOTENCY_CONFLICT',
        'NOT_READY',
      ],
      idempotencyKey: true,
      curl: `-H 'content-type: application/json' -d '{"model": "SmolLM2-135M-Instruct", "name": "facts"}'`,
      body: createStreamRequestSchema,
      reply: streamSchema,
      handler: async ({ body, idempotencyKey, log }) => {
        const model = await findModel(deps, body.model);
        const config = configFor(deps, model, body.config ?? {});
        await requireTokens(deps, config);
        const name = body.name ?? `${slug(model.name)}-${randomBytes(3).toString('hex')}`;
        const stream = await deps.store.createStream(
          { name, modelId: model.id, config, adapter: body.adapter },
          idempotencyOf(idempotencyKey, 'createStream', body),
        );
        await wakeQuietly(deps, stream.id, log);
        return { json: stream, headers: { Location: `/v1/streams/${stream.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams',
      operationId: 'listStreams',
      tag: 'Streams',
      summary: 'All streams',
      status: 200,
      reply: listStreamsResponseSchema,
      handler: async () => ({ json: { streams: await deps.store.listStreams() } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}',
      operationId: 'getStream',
      tag: 'Streams',
      summary: 'One stream, its head and its counts',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: streamSchema,
      handler: async ({ params }) => ({ json: await deps.store.getStream(params.stream) }),
    }),
  ];
}

function configFor(deps: GatewayDeps, model: Model, overrides: Partial<EditorConfig>): EditorConfig {
  const preset = deps.presetFor(model);
  const needed = Object.entries(editorConfigSchema.shape).filter(([, schema]) => !schema.safeParse(undefined).success);
  const missing = preset ? [] : needed.map(([field]) => field).filter((field) => !(field in overrides));
  if (missing.length > 0)
    throw invalid(
      'body',
      missing.map((field) => ({
        field: `config.${field}`,
        message: `is needed: there is no preset for ${model.name}`,
      })),
    );
  const result = editorConfigSchema.safeParse({ ...preset, ...overrides });
  if (!result.success) throw invalid('body', detailsOf(result.error, { prefix: ['config'] }));
  const { lambda, covarianceTokens } = result.data;
  if (lambda === 0 && covarianceTokens < 2 * model.intermediateSize)
    throw invalid('body', [
      {
        field: 'config.covarianceTokens',
        message: `${covarianceTokens} tokens cannot anchor ${model.intermediateSize} inputs a layer: give at least ${2 * model.intermediateSize}, or a lambda above 0`,
      },
    ]);
  const highest = result.data.layers.at(-1)!;
  if (highest >= model.layers)
    throw invalid('body', [
      {
        field: 'config.layers',
        message: `layer ${highest} does not exist: ${model.name} has the layers 0 to ${model.layers - 1}`,
      },
    ]);
  return result.data;
}

/** A text of fewer bytes than tokens are asked for cannot hold them. @throws UNKNOWN_CORPUS, INVALID_REQUEST */
async function requireTokens(deps: GatewayDeps, { corpus, covarianceTokens }: EditorConfig): Promise<void> {
  if (corpus === undefined || !('id' in corpus)) return;
  const { bytes } = await deps.store.getCorpus(corpus.id);
  if (bytes < covarianceTokens)
    throw invalid('body', [
      {
        field: 'config.corpus.id',
        message: `the text of ${bytes} bytes cannot hold ${covarianceTokens} tokens: upload more text, or lower covarianceTokens`,
      },
    ]);
}

function slug(name: string): string {
  return (
    name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '')
      .slice(0, 60) || 'stream'
  );
}
