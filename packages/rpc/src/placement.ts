import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';

/** Anything with an address of the form host:port. */
export interface Addressed {
  readonly address: string;
}

/**
 * The workers of the shards of one edited layer, in the order of the shards: the first is the one to call, the others its
 * peers.
 *
 * Rendezvous hashing (Thaler and Ravishankar 1998) orders the workers for the stream; layers, and the shards of a layer,
 * go round them, so that no worker is left without a share. That is each shard's home. A shard whose home is down goes to
 * the live worker with the fewest shards of this layer, of these to the first in the shard's own rendezvous order. So
 * losing a worker moves its shards and no others, and they return with it. Where a layer has more shards than there are
 * live workers, workers hold several.
 *
 * @param layerIndex position of the layer among the stream's edited layers
 * @param rowShards over how many shards the layer is spread
 * @param kind what a worker is called in messages
 * @throws ErrataError NOT_READY when no worker is live
 */
export function placeShard<Worker extends Addressed>(
  streamId: string,
  layerIndex: number,
  workers: readonly Worker[],
  isLive: (worker: Worker) => boolean = () => true,
  rowShards = 1,
  kind = 'shard worker',
): readonly Worker[] {
  const live = workers.filter(isLive);
  if (live.length === 0)
    throw new ErrataError(
      'NOT_READY',
      workers.length === 0
        ? 'there is no shard worker: set SHARD_WORKERS'
        : `none of the ${kind}s answers: ${workers.map((worker) => worker.address).join(', ')}`,
    );
  const round = ordered(workers, streamId);
  const homes = Array.from({ length: rowShards }, (_, shard) => round[(layerIndex + shard) % round.length]);
  const held = new Map<Worker, number>(live.map((worker) => [worker, 0]));
  const take = (worker: Worker) => void held.set(worker, (held.get(worker) ?? 0) + 1);
  for (const home of homes) if (held.has(home)) take(home);
  return homes.map((home, shard) => {
    if (held.has(home)) return home;
    const least = Math.min(...held.values());
    const candidates = live.filter((worker) => held.get(worker) === least);
    const [substitute] = ordered(candidates, `${streamId}\0${layerIndex}\0${shard}`);
    take(substitute);
    return substitute;
  });
}

function ordered<Worker extends Addressed>(workers: readonly Worker[], salt: string): Worker[] {
  const weights = new Map(
    workers.map((worker) => [worker, createHash('sha256').update(`${salt}\0${worker.address}`).digest('hex')]),
  );
  return [...workers].sort((a, b) => ((weights.get(a) ?? '') < (weights.get(b) ?? '') ? -1 : 1));
}
