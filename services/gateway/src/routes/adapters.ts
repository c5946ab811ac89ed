import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adapterIdSchema,
  adapterLimits,
  adapterSchema,
  addAdapterQuerySchema,
  deleteAdapterResponseSchema,
  ErrataError,
  listAdaptersResponseSchema,
  type Model,
} from '@errata/contracts';
import { adapterFiles, type ImportedAdapter, manifestName, readImport } from '@errata/export';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { findModel } from './models.js';

/** Where each field of the upload lies in the folder of an adapter. */
const files = { config: adapterFiles.config, weights: adapterFiles.weights, manifest: manifestName } as const;

const bytes = z.instanceof(Uint8Array);
const formSchema = z.strictObject({ config: bytes, weights: bytes, manifest: bytes.optional() });

/** Adapters that streams can begin with. */
export function adapterRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/adapters',
      operationId: 'addAdapter',
      tag: 'Adapters',
      summary: 'Upload a LoRA adapter that a stream can begin with',
      description: `The files of a PEFT folder, at most ${adapterLimits.bytes / 1024 / 1024} MB together; of an export of this system the manifest too, which says what base it is of. It is named by its content: the same factors again are the same adapter. A stream begins with it by \`adapter\`.`,
      status: 201,
      errors: ['UNKNOWN_MODEL', 'ADAPTER_REFUSED', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'NOT_READY'],
      curl: `-F config=@adapter_config.json -F weights=@adapter_model.safetensors -F manifest=@manifest.json`,
      query: z.strictObject(addAdapterQuerySchema.shape),
      body: formSchema,
      form: {
        maxBytes: adapterLimits.bytes,
        fields: {
          config: 'adapter_config.json',
          weights: 'adapter_model.safetensors',
          manifest: 'manifest.json of an export of this system',
        },
      },
      reply: adapterSchema,
      handler: async ({ query, body }) => {
        const model = await findModel(deps, query.model);
        const { layers, own, origin } = await readUpload(body, model);
        const adapter = await deps.store.addAdapter({
          name: query.name,
          modelId: model.id,
          own,
          origin,
          layers: layers.map(({ layer, inputs, outputs, rank, g, b }) => ({
            layer,
            g: { rows: inputs, columns: rank, data: g },
            b: { rows: outputs, columns: rank, data: b },
          })),
        });
        return { json: adapter, headers: { Location: `/v1/adapters/${adapter.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/adapters',
      operationId: 'listAdapters',
      tag: 'Adapters',
      summary: 'All uploaded adapters',
      status: 200,
      reply: listAdaptersResponseSchema,
      handler: async () => ({ json: { adapters: await deps.store.listAdapters() } }),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/adapters/{adapter}',
      operationId: 'getAdapter',
      tag: 'Adapters',
      summary: 'One uploaded adapter: its layers, where it comes from and how many streams begin with it',
      status: 200,
      errors: ['UNKNOWN_ADAPTER'],
      reply: adapterSchema,
      handler: async ({ params }) => ({ json: await deps.store.getAdapter(adapterId(params.adapter)) }),
    }),
    defineRoute({
      method: 'DELETE',
      path: '/v1/adapters/{adapter}',
      operationId: 'deleteAdapter',
      tag: 'Adapters',
      summary: 'Forget an adapter that no stream begins with',
      status: 200,
      errors: ['UNKNOWN_ADAPTER', 'ADAPTER_IN_USE'],
      reply: deleteAdapterResponseSchema,
      handler: async ({ params }) => {
        const id = adapterId(params.adapter);
        await deps.store.deleteAdapter(id);
        return { json: { id } };
      },
    }),
  ];
}

/** The adapter of an upload, which is read from a folder of its own that is gone afterwards. */
async function readUpload(body: z.output<typeof formSchema>, model: Model): Promise<ImportedAdapter> {
  const folder = await mkdtemp(join(tmpdir(), 'errata-adapter-'));
  try {
    for (const field of Object.keys(files) as (keyof typeof files)[]) {
      const content = body[field];
      if (content !== undefined) await writeFile(join(folder, files[field]), content);
    }
    return await readImport(folder, model);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function adapterId(given: string): string {
  if (adapterIdSchema.safeParse(given).success) return given;
  throw new ErrataError(
    'UNKNOWN_ADAPTER',
    `${JSON.stringify(given.slice(0, 100))} is no id of an adapter: it is adp_ and 64 hexadecimal digits`,
  );
}
