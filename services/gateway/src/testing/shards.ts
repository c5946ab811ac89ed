import { ErrataError } from '@errata/contracts';
import { type Fleet, watchFleet } from '@errata/rpc';
import type { ShardReader } from '../deps.js';

/** W − W₀ of every layer, 1 × 3. */
export const delta = Float32Array.of(0.5, -2, 3);

/** Two shard workers: one that turns out to be down as soon as it is asked, one with fixed answers. */
export function testFleet(): Fleet<ShardReader> {
  let foundOut = false;
  const refuse = async () => {
    foundOut = true;
    throw new ErrataError('NOT_READY', 'down');
  };
  const down: ShardReader = { address: 'down:1', stats: refuse, verify: refuse, materialize: refuse, distance: refuse };
  const up: ShardReader = {
    address: 'up:1',
    stats: async ({ layer, peers }) => ({
      deltaNorm: layer,
      deltaBound: 2 * layer,
      anchorDeviation: 0,
      rank: 1 + (peers ?? []).length,
      effectiveRank: 1,
      conditionEstimate: 10,
      information: 0.5,
      spectralNorm: 1,
      lambdaMinS: 1.5,
      lambdaMinT: 0.5,
      symmetryError: 0,
      capacityLeft: 0.75,
      editedNorm: 0.25,
      boundShare: 0.5,
      logDeviation: 0,
    }),
    verify: async () => ({ weightError: 1e-7, covarianceError: 2e-7, survivingColumns: 3 }),
    distance: async ({ layer, common }) => ({ distance: layer / 2, columns: common }),
    materialize: async () => ({ rows: 1, columns: delta.length, data: delta }),
  };
  return watchFleet({
    addresses: [down.address, up.address],
    connect: (address) => (address === down.address ? down : up),
    intervalMs: 60_000,
    onChange: () => {},
    healthOf: ({ address }) => ({
      check: async () => {
        if (foundOut && address === down.address) throw new ErrataError('NOT_READY', 'down');
      },
      close: () => {},
    }),
  });
}
