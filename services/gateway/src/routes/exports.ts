import { join } from 'node:path';
import {
  createExportRequestSchema,
  dtypesOfFormat,
  ErrataError,
  type Export,
  exportSchema,
  listExportsResponseSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import { seqOf } from './shared.js';

/** Time for the model runtime to remove a folder, in milliseconds. */
const discardTimeoutMs = 60_000;

/** Edited models as files. */
export function exportRoutes(deps: GatewayDeps): Route[] {
  const find = async (params: Readonly<Record<string, string>>): Promise<Export> => {
    const stream = await deps.store.getStream(params.stream);
    return deps.store.getExport(params.export, stream.id);
  };
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/exports',
      operationId: 'createExport',
      tag: 'Exports',
      summary: 'Write the edited model as files',
      description:
        'As a LoRA adapter for PEFT and vLLM, as a whole model in Hugging Face layout, or as the base GGUF file with the edited tensors replaced. Equal positions and options give equal bytes. Poll the export until it is `done`, then download its files.',
      status: 202,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_POSITION', 'UNKNOWN_CHECKPOINT', 'EXPORT_EXISTS', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"format": "peft"}'`,
      body: createExportRequestSchema,
      reply: exportSchema,
      handler: async ({ params, body }) => {
        const stream = await deps.store.getStream(params.stream);
        const { format, maxRank, destination } = body;
        const made = await deps.store.createExport({
          streamId: stream.id,
          seq: await seqOf(deps, stream, body),
          format,
          dtype: body.dtype ?? dtypesOfFormat[format][0],
          maxRank,
          destination,
        });
        try {
          await deps.workflows.startExport(made.id);
        } catch (error) {
          await deps.store.updateExport(made.id, { status: 'failed', detail: 'it could not be started' });
          throw error;
        }
        return { json: made, headers: { Location: `/v1/streams/${stream.id}/exports/${made.id}` } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/exports',
      operationId: 'listExports',
      tag: 'Exports',
      summary: 'All exports of a stream, oldest first',
      status: 200,
      errors: ['UNKNOWN_STREAM'],
      reply: listExportsResponseSchema,
      handler: async ({ params }) => {
        const stream = await deps.store.getStream(params.stream);
        return { json: { exports: await deps.store.listExports(stream.id) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/exports/{export}',
      operationId: 'getExport',
      tag: 'Exports',
      summary: 'One export: how far it is, and its manifest when it is done',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EXPORT'],
      reply: exportSchema,
      handler: async ({ params }) => ({ json: await find(params) }),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/exports/{export}/files/{file}',
      operationId: 'downloadExportFile',
      tag: 'Exports',
      summary: 'Download a file of a finished export',
      description:
        'The names are in the manifest; `manifest.json` is one, too. Ranges are answered, so that a download can go on.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EXPORT', 'NOT_READY'],
      replyType: 'application/octet-stream',
      handler: async ({ params }) => {
        const { manifest, destination, id } = await find(params);
        if (!manifest) throw new ErrataError('NOT_READY', `export ${id} has no files: it is not done`);
        const names = ['manifest.json', ...manifest.files.map(({ name }) => name)];
        const name = names.find((each) => each === params.file);
        if (!name)
          throw new ErrataError(
            'UNKNOWN_EXPORT',
            `export ${id} has no file ${JSON.stringify(params.file.slice(0, 100))}; it has ${names.join(', ')}`,
          );
        if (deps.exportDir === undefined)
          throw new ErrataError(
            'NOT_READY',
            'this API cannot read exports: set EXPORT_DIR for it as for the model runtime',
          );
        return { file: join(deps.exportDir, destination, name) };
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/v1/streams/{stream}/exports/{export}',
      operationId: 'deleteExport',
      tag: 'Exports',
      summary: 'Cancel an export, or remove the files of a finished one',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_EXPORT', 'EXPORT_IN_USE', 'NOT_READY'],
      reply: exportSchema,
      handler: async ({ params, signal }) => {
        const { id, status, destination, streamId } = await find(params);
        const discard = (published: boolean) =>
          deps.runtime.discardExport({ exportId: id, destination, published }, { timeoutMs: discardTimeoutMs, signal });
        const runs = status === 'queued' || status === 'running';
        if (runs && !(await deps.workflows.cancelExport(id))) {
          await discard(false);
          await deps.store.updateExport(id, { status: 'cancelled', detail: 'cancelled' });
        } else if (status === 'done') {
          await deps.store.deleteExport(id);
          await discard(true);
        }
        return { json: await deps.store.getExport(id, streamId) };
      },
    }),
  ];
}
