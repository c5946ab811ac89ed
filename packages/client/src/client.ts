import { randomUUID } from 'node:crypto';
import {
  adapterSchema,
  chatCompletionChunkSchema,
  chatCompletionSchema,
  checkpointSchema,
  collectGarbageResponseSchema,
  completionSchema,
  corpusSchema,
  deleteAdapterResponseSchema,
  deleteCorpusResponseSchema,
  diffSchema,
  driftResponseSchema,
  editHistorySchema,
  editSchema,
  evaluationSchema,
  exportSchema,
  headChangeSchema,
  listAdaptersResponseSchema,
  listAliasesResponseSchema,
  listBatchesResponseSchema,
  listBranchesResponseSchema,
  listCheckpointsResponseSchema,
  listCorporaResponseSchema,
  listEditsResponseSchema,
  listEventsResponseSchema,
  listExportsResponseSchema,
  listModelsResponseSchema,
  listPublicationsResponseSchema,
  listRevocationsResponseSchema,
  listSnapshotsResponseSchema,
  listStreamsResponseSchema,
  listTaskQueuesResponseSchema,
  mergeResponseSchema,
  publicationSchema,
  revocationPreviewSchema,
  revocationSchema,
  streamSchema,
  submitEditsResponseSchema,
  takeSnapshotResponseSchema,
  verifyLogResponseSchema,
} from '@errata/contracts';
import { driftCalls } from './drift-calls.js';
import { type CallOptions, createTransport, type Schema } from './transport.js';
import type { ErrataClient, KeyedOptions, RevokeDraft } from './types.js';
import { waitForEdits, waitForEvaluation, waitForRevocation } from './wait.js';
import { waitForExport, waitForPublication } from './wait-for-files.js';

export interface ClientOptions {
  /** Address of the API, such as http://127.0.0.1:8080. */
  readonly baseUrl: string;
  readonly fetch?: typeof fetch;
  /** Sent as a bearer token: for a proxy that asks for one. */
  readonly apiKey?: string;
  /** How often a request that may be repeated is tried again after a passing failure. */
  readonly retries?: number;
}

const anyObject: Schema<Record<string, unknown>> = {
  safeParse: (value) =>
    typeof value === 'object' && value !== null
      ? { success: true, data: value as Record<string, unknown> }
      : { success: false, error: { message: 'not an object' } },
};

/** A client of the HTTP API, for Node 20 and later. @throws INVALID_REQUEST when baseUrl is not a URL */
export function createClient(options: ClientOptions): ErrataClient {
  const transport = createTransport({
    baseUrl: options.baseUrl,
    fetch: options.fetch ?? fetch,
    apiKey: options.apiKey,
    retries: options.retries ?? 4,
  });
  const at = (stream: string, rest = '') => `/v1/streams/${encodeURIComponent(stream)}${rest}`;
  const get = <T>(path: string, schema: Schema<T>, call: CallOptions = {}, query = {}): Promise<T> =>
    transport.json({ method: 'GET', path, query, repeatable: true, signal: call.signal }, schema);
  /** A POST whose second arrival could do something else than its first. */
  const post = <T>(path: string, json: unknown, schema: Schema<T>, call: CallOptions = {}): Promise<T> =>
    transport.json({ method: 'POST', path, json, repeatable: false, signal: call.signal }, schema);
  const postRepeatable = <T>(path: string, json: unknown, schema: Schema<T>, call: CallOptions = {}): Promise<T> =>
    transport.json({ method: 'POST', path, json, repeatable: true, signal: call.signal }, schema);
  const postStreamed = <T>(path: string, json: object, schema: Schema<T>, call: CallOptions = {}) =>
    transport.events(
      { method: 'POST', path, json: { ...json, stream: true }, repeatable: true, signal: call.signal },
      schema,
    );
  const keyed = (call: KeyedOptions) => ({
    method: 'POST' as const,
    idempotencyKey: call.idempotencyKey ?? randomUUID(),
    repeatable: true,
    signal: call.signal,
  });

  const client: ErrataClient = {
    baseUrl: options.baseUrl,
    listTaskQueues: async (call) => (await get('/v1/task-queues', listTaskQueuesResponseSchema, call)).taskQueues,
    listModels: async (call) => (await get('/v1/models', listModelsResponseSchema, call)).models,
    createStream: (request, call = {}) =>
      transport.json({ ...keyed(call), path: '/v1/streams', json: request }, streamSchema),
    listStreams: async (call) => (await get('/v1/streams', listStreamsResponseSchema, call)).streams,
    getStream: (stream, call) => get(at(stream), streamSchema, call),

    submitEdits: (stream, edits, call = {}) =>
      transport.json({ ...keyed(call), path: at(stream, '/edits'), json: { edits } }, submitEditsResponseSchema),
    submitNdjson: (stream, data, call = {}) =>
      transport.json(
        { ...keyed(call), path: at(stream, '/edits'), body: { data, type: 'application/x-ndjson' } },
        submitEditsResponseSchema,
      ),
    listEdits: (stream, { signal, ...query } = {}) =>
      get(at(stream, '/edits'), listEditsResponseSchema, { signal }, query),
    async *allEdits(stream, { signal, status, after } = {}) {
      let next: number | null = after ?? 0;
      while (next !== null) {
        const page: Awaited<ReturnType<ErrataClient['listEdits']>> = await client.listEdits(stream, {
          after: next,
          limit: 1000,
          ...(status && { status }),
          signal,
        });
        yield* page.edits;
        next = page.next;
      }
    },
    getEdit: (stream, editId, call) => get(at(stream, `/edits/${encodeURIComponent(editId)}`), editSchema, call),
    waitForEdits: (...args) => waitForEdits(client, ...args),
    getEditHistory: (stream, editId, call) =>
      get(at(stream, `/edits/${encodeURIComponent(editId)}/history`), editHistorySchema, call),
    setExpiry: (stream, editId, expiresAt, call = {}) => {
      const path = at(stream, `/edits/${encodeURIComponent(editId)}`);
      const json = { expiresAt: expiresAt instanceof Date ? expiresAt.toISOString() : expiresAt };
      return transport.json({ method: 'PATCH', path, json, repeatable: true, signal: call.signal }, editSchema);
    },

    revoke: async (stream, what, reason, call = {}) => {
      const request = isRequest(what) ? what : { edits: [...what] };
      const asked = { ...request, ...(reason !== undefined && { reason }) };
      return waitForRevocation(client, await client.startRevocation(stream, asked, call), call);
    },
    startRevocation: (stream, request, call = {}) =>
      transport.json(
        { ...keyed(call), path: at(stream, '/revocations'), json: { ...request, wait: false } },
        revocationSchema,
      ),
    previewRevocation: (stream, selection, call) =>
      postRepeatable(at(stream, '/revocations/preview'), selection, revocationPreviewSchema, call),
    listRevocations: async (stream, call) =>
      (await get(at(stream, '/revocations'), listRevocationsResponseSchema, call)).revocations,
    getRevocation: (stream, id, call) =>
      get(at(stream, `/revocations/${encodeURIComponent(id)}`), revocationSchema, call),
    cancelRevocation: (stream, id, call) =>
      postRepeatable(at(stream, `/revocations/${encodeURIComponent(id)}/cancel`), undefined, revocationSchema, call),

    addAdapter: ({ model, name, config, weights, manifest }, call = {}) => {
      const data = new FormData();
      for (const [field, bytes] of Object.entries({ config, weights, manifest }))
        if (bytes !== undefined) data.set(field, new Blob([bytes]), field);
      return transport.json(
        {
          method: 'POST',
          path: '/v1/adapters',
          query: { model, name },
          body: { data },
          repeatable: true,
          signal: call.signal,
        },
        adapterSchema,
      );
    },
    listAdapters: async (call) => (await get('/v1/adapters', listAdaptersResponseSchema, call)).adapters,
    getAdapter: (id, call) => get(`/v1/adapters/${encodeURIComponent(id)}`, adapterSchema, call),
    deleteAdapter: async (id, call = {}) => {
      const path = `/v1/adapters/${encodeURIComponent(id)}`;
      const request = { method: 'DELETE' as const, path, repeatable: false, signal: call.signal };
      await transport.json(request, deleteAdapterResponseSchema);
    },

    addCorpus: (name, data, call = {}) =>
      transport.json(
        {
          method: 'POST',
          path: '/v1/corpora',
          query: { name },
          body: { data, type: 'text/plain; charset=utf-8' },
          repeatable: true,
          signal: call.signal,
        },
        corpusSchema,
      ),
    listCorpora: async (call) => (await get('/v1/corpora', listCorporaResponseSchema, call)).corpora,
    deleteCorpus: async (corpus, call = {}) => {
      const path = `/v1/corpora/${encodeURIComponent(corpus)}`;
      const request = { method: 'DELETE' as const, path, repeatable: false, signal: call.signal };
      await transport.json(request, deleteCorpusResponseSchema);
    },

    createCheckpoint: (stream, name, call) => post(at(stream, '/checkpoints'), { name }, checkpointSchema, call),
    listCheckpoints: async (stream, call) =>
      (await get(at(stream, '/checkpoints'), listCheckpointsResponseSchema, call)).checkpoints,
    rollback: (stream, to, call = {}) =>
      transport.json({ ...keyed(call), path: at(stream, '/rollback'), json: to }, headChangeSchema),
    createBranch: (stream, branch, call = {}) =>
      transport.json({ ...keyed(call), path: at(stream, '/branches'), json: branch }, streamSchema),
    listBranches: async (stream, call) =>
      (await get(at(stream, '/branches'), listBranchesResponseSchema, call)).branches,
    diff: (stream, { signal, ...query } = {}) => get(at(stream, '/diff'), diffSchema, { signal }, query),
    merge: (stream, request, call) => postRepeatable(at(stream, '/merges'), request, mergeResponseSchema, call),
    takeSnapshot: async (stream, position, call) =>
      (await postRepeatable(at(stream, '/snapshots'), position ?? {}, takeSnapshotResponseSchema, call)).snapshot,
    listSnapshots: async (stream, call) =>
      (await get(at(stream, '/snapshots'), listSnapshotsResponseSchema, call)).snapshots,
    collectGarbage: ({ signal, ...request } = {}) =>
      postRepeatable('/v1/collections', request, collectGarbageResponseSchema, { signal }),
    pause: (stream, call) => postRepeatable(at(stream, '/pause'), undefined, streamSchema, call),
    resume: (stream, call) => postRepeatable(at(stream, '/resume'), undefined, streamSchema, call),

    listBatches: async (stream, call) => (await get(at(stream, '/batches'), listBatchesResponseSchema, call)).batches,
    listEvents: async (stream, call) => (await get(at(stream, '/events'), listEventsResponseSchema, call)).events,
    getDrift: (stream, call) => get(at(stream, '/drift'), driftResponseSchema, call),
    startEvaluation: (stream, call) => post(at(stream, '/evaluations'), undefined, evaluationSchema, call),
    getEvaluation: (stream, id, call) =>
      get(at(stream, `/evaluations/${encodeURIComponent(id)}`), evaluationSchema, call),
    evaluate: async (stream, call = {}) => waitForEvaluation(client, await client.startEvaluation(stream, call), call),
    createExport: (stream, request, call) => post(at(stream, '/exports'), request, exportSchema, call),
    listExports: async (stream, call) => (await get(at(stream, '/exports'), listExportsResponseSchema, call)).exports,
    getExport: (stream, id, call) => get(at(stream, `/exports/${encodeURIComponent(id)}`), exportSchema, call),
    deleteExport: (stream, id, call = {}) =>
      transport.json(
        {
          method: 'DELETE',
          path: at(stream, `/exports/${encodeURIComponent(id)}`),
          repeatable: true,
          signal: call.signal,
        },
        exportSchema,
      ),
    waitForExport: (...args) => waitForExport(client, ...args),
    downloadExportFile: (stream, id, file, call = {}) =>
      transport.bytes({
        method: 'GET',
        path: at(stream, `/exports/${encodeURIComponent(id)}/files/${encodeURIComponent(file)}`),
        repeatable: true,
        signal: call.signal,
      }),
    publish: (stream, request, call) => post(at(stream, '/publications'), request, publicationSchema, call),
    listPublications: async (stream, call) =>
      (await get(at(stream, '/publications'), listPublicationsResponseSchema, call)).publications,
    getPublication: (stream, id, call) =>
      get(at(stream, `/publications/${encodeURIComponent(id)}`), publicationSchema, call),
    waitForPublication: (...args) => waitForPublication(client, ...args),
    listAliases: async (call) => (await get('/v1/aliases', listAliasesResponseSchema, call)).aliases,
    complete: (stream, request, call) => postRepeatable(at(stream, '/completions'), request, completionSchema, call),
    streamCompletion: (stream, request, call) =>
      postStreamed(at(stream, '/completions'), request, completionSchema, call),
    chat: (stream, request, call) =>
      postRepeatable(at(stream, '/chat/completions'), request, chatCompletionSchema, call),
    streamChat: (stream, request, call) =>
      postStreamed(at(stream, '/chat/completions'), request, chatCompletionChunkSchema, call),
    verify: (stream, { deep = false, repair = false, signal } = {}) =>
      postRepeatable(at(stream, '/verify'), { deep, repair }, verifyLogResponseSchema, { signal }),

    ...driftCalls(transport, at),

    health: async (call) => {
      await get('/healthz', anyObject, call);
    },
    ready: async (call = {}) => {
      await transport.json({ method: 'GET', path: '/readyz', repeatable: false, signal: call.signal }, anyObject);
    },
    metrics: (call = {}) => transport.text({ method: 'GET', path: '/metrics', repeatable: true, signal: call.signal }),
    openapi: (call) => get('/openapi.json', anyObject, call),
  };
  return client;
}

function isRequest(what: readonly string[] | RevokeDraft): what is RevokeDraft {
  return !Array.isArray(what);
}
