import { ErrataError } from '@errata/contracts';
import type { Columns64 } from '@errata/rls';
import { type CallContext, type CallLimits, connectShardWorker, type ShardWorker } from '@errata/rpc';
import type { Share } from '@errata/tensor';

/** Most shares of a layer. */
const MAX_SHARES = 64;

/** Connections to other shard workers, by address. */
export class Peers {
  readonly #workers = new Map<string, ShardWorker>();

  at(address: string): ShardWorker {
    let worker = this.#workers.get(address);
    if (worker === undefined) {
      worker = connectShardWorker(address);
      this.#workers.set(address, worker);
    }
    return worker;
  }

  close(): void {
    for (const worker of this.#workers.values()) worker.close();
  }
}

/** The share a request is about: the one it names, or the first of itself and its peers. @throws ErrataError INVALID_REQUEST */
export function shareOf({
  peers,
  share,
}: {
  readonly peers: readonly string[];
  readonly share?: Share | undefined;
}): Share {
  const found = share ?? { index: 0, count: peers.length + 1 };
  if (share !== undefined && peers.length > 0)
    throw new ErrataError('INVALID_REQUEST', 'a request names peers or a share, not both');
  if (found.index >= found.count || found.count > MAX_SHARES)
    throw new ErrataError(
      'INVALID_REQUEST',
      `share ${found.index} of ${found.count}: shares count from 0, and there are at most ${MAX_SHARES}`,
    );
  const wrong = peers.find((peer) => !/^[^\s:]+:\d+$/.test(peer));
  if (wrong !== undefined) throw new ErrataError('INVALID_REQUEST', `peer ${JSON.stringify(wrong)} is not host:port`);
  return { index: found.index, count: found.count };
}

/** The output rows of a share: an even split. */
export function rowsOf(outputs: number, { index, count }: Share): { readonly start: number; readonly end: number } {
  return { start: Math.floor((index * outputs) / count), end: Math.floor(((index + 1) * outputs) / count) };
}

/** Does its own part while the peers do theirs. The first failure stops all and is thrown. */
export async function together<Own, Part>(
  peers: Peers,
  addresses: readonly string[],
  { signal, deadline }: CallContext,
  own: (signal: AbortSignal) => Promise<Own>,
  ask: (worker: ShardWorker, share: Share, limits: CallLimits) => Promise<Part>,
): Promise<{ own: Own; parts: Part[] }> {
  if (addresses.length === 0) return { own: await own(signal), parts: [] };
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const limits = { timeoutMs: Math.max(1, deadline.getTime() - Date.now()), signal: either };
  const work = [
    own(either),
    ...addresses.map((address, i) => ask(peers.at(address), { index: i + 1, count: addresses.length + 1 }, limits)),
  ] as const;
  try {
    const [first, ...parts] = await Promise.all(work);
    return { own: first as Own, parts: parts as Part[] };
  } catch (error) {
    stop.abort(new ErrataError('CANCELLED', 'another share of the layer failed'));
    await Promise.allSettled(work);
    throw error;
  }
}

/** The sum of equally shaped columns, in the first one's memory. @throws ErrataError INVALID_TENSOR */
export function sumColumns(first: Columns64, others: readonly Columns64[]): Columns64 {
  for (const other of others) {
    if (other.length !== first.length || other.count !== first.count)
      throw new ErrataError(
        'INVALID_TENSOR',
        `a share answered ${other.length} × ${other.count} where ${first.length} × ${first.count} is needed`,
      );
    for (let i = 0; i < first.data.length; i++) first.data[i] += other.data[i];
  }
  return first;
}

/** Columns whose elements are those of the parts one below the other. @throws ErrataError INVALID_TENSOR */
export function stackColumns(length: number, parts: readonly Columns64[]): Columns64 {
  const { count } = parts[0];
  const rows = parts.reduce((sum, part) => sum + part.length, 0);
  if (rows !== length || parts.some((part) => part.count !== count))
    throw new ErrataError('INVALID_TENSOR', `the shares answered ${rows} rows where ${length} are needed`);
  const data = new Float64Array(length * count);
  let at = 0;
  for (const part of parts) {
    for (let j = 0; j < count; j++)
      data.set(part.data.subarray(j * part.length, (j + 1) * part.length), j * length + at);
    at += part.length;
  }
  return { length, count, data };
}
