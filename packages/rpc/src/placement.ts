import { createHash } from 'node:crypto';

/**
 * The worker that owns the shard of one edited layer. Rendezvous hashing (Thaler and Ravishankar 1998) orders the workers
 * for the stream; its layers then go round them, so that no worker is left without a share.
 * @param index position of the layer among the stream's edited layers
 */
export function placeShard<Worker extends { readonly address: string }>(
  streamId: string,
  index: number,
  workers: readonly Worker[],
): Worker {
  if (workers.length === 0) throw new Error('there is no shard worker to place a shard on');
  const weight = (worker: Worker) => createHash('sha256').update(`${streamId}\0${worker.address}`).digest('hex');
  const ordered = [...workers].sort((a, b) => (weight(a) < weight(b) ? -1 : 1));
  return ordered[index % ordered.length];
}
