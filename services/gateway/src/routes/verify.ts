import { createHash } from 'node:crypto';
import {
  type Stream,
  type VerifyLogResponse,
  verifyLogRequestSchema,
  verifyLogResponseSchema,
} from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';
import type { GatewayMetrics } from '../metrics.js';
import { requirePrepared } from './questions.js';
import { askShard } from './shared.js';

/** Time for one layer to be recomputed in fp64 or written out, in milliseconds. */
const deepTimeoutMs = 300_000;

/** Walking the log, and recomputing what it says. */
export function verifyRoutes(deps: GatewayDeps, metrics: Pick<GatewayMetrics, 'logsVerified'>): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/verify',
      operationId: 'verifyLog',
      tag: 'Log',
      summary: 'Recompute the hash chain of the log up to the head',
      description:
        'Targets, snapshots and covariances are held against their hashes too; `damage` names what does not match. With `repair`, what the log can give itself is put back first. With `deep`, each layer is also recomputed in fp64 from the recorded keys and values, and the sha256 of its weight change (fp32, column-major) is given.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'NOT_READY', 'DEADLINE_EXCEEDED'],
      curl: `-H 'content-type: application/json' -d '{"deep": true}'`,
      body: verifyLogRequestSchema,
      reply: verifyLogResponseSchema,
      handler: async ({ params, body, signal }) => {
        const stream = await deps.store.getStream(params.stream);
        const repair = body.repair ? await deps.workflows.repair(stream.id, signal) : null;
        const seq = stream.head;
        const { hash, entries, problems, damage: ofEntries } = await deps.store.verifyLog(stream.id, seq);
        const stored = await deps.store.verifyStored(stream.id, seq);
        for (const { seq: at, layer, tensor, detail } of stored)
          problems.push(`${tensor}${layer === null ? '' : ` of layer ${layer}`} at position ${at}: ${detail}`);
        const damage = [...ofEntries, ...stored].map(({ id: _, ...rest }) => rest);
        metrics.logsVerified.inc({ outcome: problems.length === 0 ? 'ok' : 'broken' });
        const deep = body.deep ? await verifyDeep(deps, stream, signal) : null;
        return { json: { seq, hash, entries, ok: problems.length === 0, problems, damage, repair, deep } };
      },
    }),
  ];
}

type DeepLayer = NonNullable<VerifyLogResponse['deep']>[number];

async function verifyDeep(deps: GatewayDeps, stream: Stream, signal: AbortSignal): Promise<DeepLayer[]> {
  requirePrepared(stream);
  const state = { streamId: stream.id, seq: stream.head, staged: [] };
  const callLimits = { timeoutMs: deepTimeoutMs, signal };
  const layers: DeepLayer[] = [];
  // One after the other: each layer is recomputed with dense fp64 matrices, and memory is the limit of a worker.
  for (const layer of stream.config.layers)
    layers.push(
      await askShard(deps, stream, layer, async (shard, peers) => {
        const found = await shard.verify({ state, layer, peers }, callLimits);
        const { data } = await shard.materialize({ state, layer, peers }, callLimits);
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        return {
          layer,
          weightError: found.weightError,
          covarianceError: found.covarianceError,
          survivingColumns: found.survivingColumns,
          deltaSha256: createHash('sha256').update(bytes).digest('hex'),
        };
      }),
    );
  return layers;
}
