import {
  type Diff,
  diffQuerySchema,
  diffSchema,
  ErrataError,
  editGist,
  type HeadChange,
  type LayerDrift,
  layerDrift,
  limits,
  type MergeRequest,
  type MergeResponse,
  mergeRequestSchema,
  mergeResponseSchema,
  type Stream,
  type StreamPosition,
} from '@errata/contracts';
import type { Merge } from '@errata/store';
import { z } from 'zod';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route, type RouteContext } from '../http/route.js';
import { requirePrepared } from './questions.js';
import { endOfRevocation } from './revocations.js';
import { askShard, wakeQuietly } from './shared.js';

/** Time for the figures of one layer, in milliseconds. A worker that lags reads the log first. */
const figuresTimeoutMs = 120_000;

/** Comparing and merging streams. */
export function compareRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/v1/streams/{stream}/diff',
      operationId: 'diff',
      tag: 'Time travel',
      summary: 'How two positions differ: edits, distance of the weights, drift',
      description:
        'Compares the head of the stream, or `seq`, with the head of the stream `with`, or `withSeq`. The streams need not be related, but must be on one model.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'UNKNOWN_POSITION', 'NOT_READY', 'OUT_OF_MEMORY', 'DEADLINE_EXCEEDED'],
      query: z.strictObject(diffQuerySchema.shape),
      reply: diffSchema,
      handler: async ({ params, query, signal }) => {
        const from = await deps.store.getStream(params.stream);
        const to = query.with === undefined ? from : await deps.store.getStream(query.with);
        return { json: await diff(deps, [from, query.seq], [to, query.withSeq], signal) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/merges',
      operationId: 'mergeStream',
      tag: 'Time travel',
      summary: 'Write the edits of another stream here again',
      description:
        'What the other stream wrote since the last common position and still has is queued here as new edits, each with the id of its source. What is here already is left out: a repeated merge adds nothing. With `dryRun` nothing is done.',
      status: 200,
      errors: ['UNKNOWN_STREAM', 'MERGE_CONFLICT', 'EDIT_NOT_REVOCABLE', 'REVOKE_ILL_CONDITIONED', 'NOT_READY'],
      curl: `-H 'content-type: application/json' -d '{"from": "trial", "dryRun": true}'`,
      body: mergeRequestSchema,
      reply: mergeResponseSchema,
      handler: async ({ params, body, signal, log }) => {
        const stream = await deps.store.getStream(params.stream);
        const other = await deps.store.getStream(body.from);
        const { conflicts, revocations, dryRun } = body;
        const merge = await deps.store.mergeStream(stream.id, other.id, { conflicts, revocations, dryRun });
        if (merge.queued.length > 0) await wakeQuietly(deps, stream.id, log);
        const revoked = dryRun ? null : await revokeAll(deps, stream, other, merge, { signal, log });
        return { json: mergeAnswer(body, merge, revoked) };
      },
    }),
  ];
}

async function diff(
  deps: GatewayDeps,
  [from, fromSeq = from.head]: readonly [Stream, number | undefined],
  [to, toSeq = to.head]: readonly [Stream, number | undefined],
  signal: AbortSignal,
): Promise<Diff> {
  if (from.modelId !== to.modelId)
    throw new ErrataError(
      'INVALID_REQUEST',
      `${from.name} is on the model ${from.modelName}, ${to.name} on ${to.modelName}: compare streams of one model`,
    );
  for (const stream of [from, to]) requirePrepared(stream);
  const ends = [
    { streamId: from.id, seq: fromSeq },
    { streamId: to.id, seq: toSeq },
  ] as const;
  const [first, second] = await Promise.all(ends.map((end) => positionAt(deps, end)));
  const common = await deps.store.commonPosition(...ends);
  const { added, removed, changed, kept } = await deps.store.diffEdits(...ends);
  const ask = { from, to, ends, common: common?.seq ?? 0, signal };
  const layers = [...new Set([...from.config.layers, ...to.config.layers])].sort((a, b) => a - b);
  const most = limits.editsOfHeadChange;
  return {
    from: first,
    to: second,
    common,
    counts: { added: added.length, removed: removed.length, changed: changed.length, kept },
    added: added.slice(0, most).map(editGist),
    removed: removed.slice(0, most).map(editGist),
    changed: changed.slice(0, most).map((pair) => ({ from: editGist(pair.from), to: editGist(pair.to) })),
    layers: await Promise.all(layers.map((layer) => compareLayer(deps, ask, layer))),
  };
}

async function positionAt(deps: GatewayDeps, end: { streamId: string; seq: number }): Promise<StreamPosition> {
  return { ...end, hash: await deps.store.hashAt(end.streamId, end.seq) };
}

interface Comparison {
  readonly from: Stream;
  readonly to: Stream;
  readonly ends: readonly [{ streamId: string; seq: number }, { streamId: string; seq: number }];
  readonly common: number;
  readonly signal: AbortSignal;
}

async function compareLayer(
  deps: GatewayDeps,
  { from, to, ends, common, signal }: Comparison,
  layer: number,
): Promise<Diff['layers'][number]> {
  const [before, after] = ends.map((end) => ({ ...end, staged: [] }));
  const callLimits = { timeoutMs: figuresTimeoutMs, signal };
  const holder = to.config.layers.includes(layer) ? to : from;
  const { distance } = await askShard(deps, holder, layer, (shard) =>
    shard.distance({ from: before, to: after, layer, common }, callLimits),
  );
  const drift = async (stream: Stream, state: typeof before): Promise<LayerDrift | null> => {
    if (!stream.config.layers.includes(layer)) return null;
    const measured = await askShard(deps, stream, layer, (shard, peers) =>
      shard.stats({ state, layer, peers }, callLimits),
    );
    return layerDrift(layer, measured);
  };
  // One after the other: two positions of one stream are one shard, which goes from the one to the other.
  const driftFrom = await drift(from, before);
  return { layer, distance, from: driftFrom, to: await drift(to, after) };
}

/** Revokes here what the other stream revoked, as one operation. Answers how far it is when the wait for it ends. */
async function revokeAll(
  deps: GatewayDeps,
  stream: Stream,
  other: Stream,
  { revocations }: Merge,
  { signal, log }: Pick<RouteContext<unknown, unknown>, 'signal' | 'log'>,
): Promise<HeadChange | null> {
  if (revocations.length === 0) return null;
  const asked = {
    selection: { edits: revocations.map(({ id }) => id) },
    reason: `revoked in ${other.name}`,
    retarget: false,
    verify: false,
  };
  const { revocation } = await deps.store.createRevocation(stream.id, asked);
  await wakeQuietly(deps, stream.id, log);
  const { head, hash, changed, edits } = await endOfRevocation(deps, revocation, signal);
  return { head, hash, changed, edits };
}

function mergeAnswer({ dryRun }: MergeRequest, merge: Merge, revoked: HeadChange | null): MergeResponse {
  const { from, to, common, conflicts, edits, revocations, queued, present, skipped } = merge;
  const most = limits.editsOfHeadChange;
  return {
    from,
    to,
    common,
    dryRun,
    conflicts: conflicts.slice(0, most),
    counts: {
      edits: edits.length,
      revocations: revocations.length,
      conflicts: conflicts.length,
      present,
      skipped: skipped.length,
    },
    skipped: skipped.slice(0, most).map(({ edit, reason }) => ({ edit: editGist(edit), reason })),
    edits: edits.slice(0, most).map(editGist),
    queued: queued
      .slice(0, most)
      .map(({ id, ordinal, status, reason, mergedFrom }) => ({ id, ordinal, status, reason, mergedFrom })),
    revocations: revocations.slice(0, most).map(({ id }) => id),
    revoked,
  };
}
