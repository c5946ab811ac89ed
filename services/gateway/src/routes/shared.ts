import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { placeShard } from '@errata/rpc';
import type { Idempotency } from '@errata/store';
import type { GatewayDeps, Log } from '../deps.js';

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

type Shard = GatewayDeps['shards'][number];

/**
 * Asks a shard worker about the layer at `position` of the stream's edited layers, starting with its owner and going to the next when one cannot be reached: each is
 * a cache of the log, so any can answer.
 */
export async function askShard<Result>(
  { shards }: Pick<GatewayDeps, 'shards'>,
  streamId: string,
  position: number,
  ask: (shard: Shard) => Promise<Result>,
): Promise<Result> {
  let last: unknown = new ErrataError('NOT_READY', 'No shard worker is configured: set SHARD_WORKERS');
  for (let k = 0; k < shards.length; k++) {
    try {
      return await ask(placeShard(streamId, position + k, shards));
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'NOT_READY') throw error;
      last = error;
    }
  }
  throw last;
}

/** The position that a request means: a seq of the log, a checkpoint's, or the head. */
export async function positionOf(
  deps: GatewayDeps,
  stream: { readonly id: string; readonly head: number },
  at: number | string | undefined,
): Promise<number> {
  if (at === undefined) return stream.head;
  if (typeof at === 'string') return (await deps.store.getCheckpoint(stream.id, at)).seq;
  await deps.store.hashAt(stream.id, at);
  return at;
}
