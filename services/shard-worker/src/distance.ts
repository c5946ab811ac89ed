import { ErrataError } from '@errata/contracts';
import type { SignedFactors } from '@errata/rls';
import { type ShardServiceServer, type StateRef, unary } from '@errata/rpc';
import type { Store } from '@errata/store';
import type { EngineClient } from './engine-client.js';
import type { Timed } from './requests.js';
import { asColumns } from './shard.js';

/** Entries read from the log at once: lets a cancelled request stop between reads. */
const READ_AT_ONCE = 64;
/** Bytes of factors held for one comparison: 100,000 columns of 576 × 1,536, 12,000 of 4,096 × 14,336. */
const HELD_BYTES = 1 << 30;

interface DistanceParts {
  readonly engine: EngineClient;
  readonly store: Pick<Store, 'lineage' | 'readEntries' | 'getStream'>;
}

/** Comparing two positions, out of the log alone. */
export function distanceMethods({ engine, store }: DistanceParts, timed: Timed): Pick<ShardServiceServer, 'distance'> {
  /** Factors of a layer beyond the common position. */
  const factorsOf = async (
    state: StateRef | undefined,
    sign: 1 | -1,
    { layer, common }: { layer: number; common: number },
    signal: AbortSignal,
  ): Promise<SignedFactors[]> => {
    if (state === undefined || state.seq === common) return [];
    if (state.staged.length > 0)
      throw new ErrataError('INVALID_REQUEST', 'committed positions are compared: leave staged batches out');
    const { config } = await store.getStream(state.streamId);
    if (!config.layers.includes(layer)) return [];
    const { seqs, forked } = await store.lineage(state.streamId, state.seq, common);
    if (forked && common > 0)
      throw new ErrataError(
        'UNKNOWN_POSITION',
        `seq ${state.seq} of ${state.streamId} does not build on seq ${common}: name the last seq that both share`,
      );
    const found: SignedFactors[] = [];
    let bytes = 0;
    for (let at = 0; at < seqs.length; at += READ_AT_ONCE) {
      signal.throwIfAborted();
      for (const { g, b } of await store.readEntries(state.streamId, layer, seqs.slice(at, at + READ_AT_ONCE))) {
        found.push({ sign, g: asColumns(g), b: asColumns(b) });
        bytes += g.data.byteLength + b.data.byteLength;
      }
      if (bytes > HELD_BYTES)
        throw new ErrataError(
          'OUT_OF_MEMORY',
          `the factors of layer ${layer} since seq ${common} take more than ${HELD_BYTES} bytes: compare closer positions`,
        );
    }
    return found;
  };

  return {
    distance: unary((request, { signal }) =>
      timed.once('distance', async () => {
        const factors = [
          ...(await factorsOf(request.to, 1, request, signal)),
          ...(await factorsOf(request.from, -1, request, signal)),
        ];
        const columns = factors.reduce((sum, { g }) => sum + g.count, 0);
        const distance = await engine.run('distance', { factors }, { signal, transfer: true });
        return { distance, columns };
      }),
    ),
  };
}
