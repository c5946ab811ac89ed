import { createHash } from 'node:crypto';
import { ErrataError, type PositionRequest, type Stream } from '@errata/contracts';
import type { Placement } from '@errata/rpc';
import type { Idempotency, PositionTarget } from '@errata/store';
import type { GatewayDeps, Log, ShardReader } from '../deps.js';

/**
 * Wakes a stream's workflow after a commit. A failure is logged and counted, not reported: the edits are stored, and
 * the sweep of the orchestrator wakes streams that were left behind.
 */
export async function wakeQuietly(deps: GatewayDeps, streamId: string, log: Log): Promise<void> {
  try {
    await deps.workflows.wake(streamId);
  } catch (error) {
    log.warn({ err: error, streamId }, 'could not wake the stream; the sweep will');
  }
}

/** The key with the hash of what was asked, in whichever media type it came. */
export function idempotencyOf(key: string | null, operation: string, body: unknown): Idempotency | undefined {
  if (key === null) return undefined;
  const bodyHash = createHash('sha256').update(operation).update('\n').update(JSON.stringify(body)).digest('hex');
  return { key, bodyHash };
}

/** A worker to ask about a layer, and the addresses of the others that hold shards of it. */
type Ask<Result> = (owner: ShardReader, peers: readonly string[]) => Promise<Result>;

/**
 * Asks the shard workers of an edited layer; when one of them turns out to be down, those that stand in for it: each is a
 * cache of the log, so any can answer.
 * @throws NOT_READY when none is left
 */
export async function askShard<Result>(
  { fleet }: Pick<GatewayDeps, 'fleet'>,
  stream: Pick<Stream, 'id' | 'config'>,
  layer: number,
  ask: Ask<Result>,
): Promise<Result> {
  const { layers, rowShards } = stream.config;
  let placement = fleet.place(stream.id, layers.indexOf(layer), rowShards);
  for (;;) {
    try {
      return await fleet.watch(placement, ({ owner, peers }) => ask(owner, peers));
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'NOT_READY') throw error;
      const next = fleet.place(stream.id, layers.indexOf(layer), rowShards);
      if (holders(next) === holders(placement)) throw error;
      placement = next;
    }
  }
}

function holders({ owner, peers }: Placement<ShardReader>): string {
  return [owner.address, ...peers].join();
}

/** What a request names a position by. @throws INVALID_REQUEST when by nothing */
export function targetOf({ seq, checkpoint, at, before }: PositionRequest): PositionTarget {
  if (seq !== undefined) return { seq };
  if (checkpoint !== undefined) return { checkpoint };
  if (at !== undefined) return { at };
  if (before !== undefined) return { beforeEdit: before };
  throw new ErrataError('INVALID_REQUEST', 'no position is named: give one of "seq", "checkpoint", "at" and "before"');
}

/** The position that a request means: a seq of the log, a checkpoint's, or the head. */
export async function positionOf(
  deps: Pick<GatewayDeps, 'store'>,
  stream: { readonly id: string; readonly head: number },
  at: number | string | undefined,
): Promise<number> {
  if (at === undefined) return stream.head;
  if (typeof at === 'string') return (await deps.store.getCheckpoint(stream.id, at)).seq;
  await deps.store.hashAt(stream.id, at);
  return at;
}

/** The position that a request with fields for it means; the head where it has none. */
export async function seqOf(
  deps: Pick<GatewayDeps, 'store'>,
  stream: { readonly id: string; readonly head: number },
  { seq, checkpoint, at }: { seq?: number | undefined; checkpoint?: string | undefined; at?: string | undefined },
): Promise<number> {
  if (at !== undefined) return (await deps.store.resolvePosition(stream.id, { at })).seq;
  return positionOf(deps, stream, checkpoint ?? seq);
}
