import { randomBytes } from 'node:crypto';
import {
  createStreamRequestSchema,
  type EditorConfig,
  ErrataError,
  editorConfigSchema,
  listModelsResponseSchema,
  listStreamsResponseSchema,
  type Model,
  streamSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { detailsOf, invalid } from '../http/validate.js';
import { idempotencyOf, wakeQuietly } from './shared.js';

/** Time for a runtime to say which model it serves, in milliseconds. */
const infoTimeoutMs = 3000;

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
        'The configuration starts from the preset of the model; `config` overrides single fields. The stream is `preparing` until the covariance of its layers is there; edits can be sent at once.',
      status: 201,
      errors: ['UNKNOWN_MODEL', 'UNKNOWN_CORPUS', 'NAME_TAKEN', 'IDEMPOTENCY_CONFLICT', 'NOT_READY'],
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
          { name, modelId: model.id, config },
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

/** The model of that name or id, asking the runtime when the database does not know it yet. */
async function findModel(deps: GatewayDeps, idOrName: string): Promise<Model> {
  try {
    return await deps.store.getModel(idOrName);
  } catch (error) {
    if (!(error instanceof ErrataError) || error.code !== 'UNKNOWN_MODEL') throw error;
    const failure = await registerServedModel(deps);
    if (failure !== null)
      throw new ErrataError(
        'NOT_READY',
        `The model ${JSON.stringify(idOrName)} is not known yet and the runtime does not answer: ${failure.message}`,
        { cause: failure },
      );
    return deps.store.getModel(idOrName);
  }
}

/** @returns why it could not, or null */
async function registerServedModel(deps: GatewayDeps): Promise<Error | null> {
  try {
    const info = await deps.runtime.info({ timeoutMs: infoTimeoutMs });
    await deps.store.registerModel({
      id: info.modelId,
      name: info.name,
      architecture: info.architecture,
      layers: info.layers,
      hiddenSize: info.hiddenSize,
      intermediateSize: info.intermediateSize,
    });
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
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
