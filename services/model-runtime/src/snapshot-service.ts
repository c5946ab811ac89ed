import { ErrataError } from '@errata/contracts';
import { type ModelRuntimeServiceServer, unary } from '@errata/rpc';
import type { EngineRunner } from './engine-runner.js';
import type { StreamStates } from './stream-states.js';
import type { WeightSnapshots } from './weight-snapshots.js';

/** Keeping snapshots: the engine is needed until the fold is there; it is written beside other work. */
export function snapshotMethods(
  states: StreamStates,
  snapshots: WeightSnapshots | null,
  engine: EngineRunner,
): Pick<ModelRuntimeServiceServer, 'snapshot'> {
  return {
    snapshot: unary(async ({ streamId, seq }, context) => {
      if (snapshots === null) throw new ErrataError('INVALID_REQUEST', 'this runtime keeps no snapshots');
      if (seq === 0) throw new ErrataError('INVALID_REQUEST', 'position 0 is the unedited model: it needs no snapshot');
      const held = await engine.run('snapshot', context, () => states.foldsAt(streamId, seq));
      if (held === null) return { snapshotId: '', seq: 0, bytes: 0, created: false };
      try {
        const { snapshot, created } = await snapshots.save(streamId, held);
        return { snapshotId: snapshot.id, seq: held.seq, bytes: snapshot.bytes, created };
      } finally {
        held.release();
      }
    }),
  };
}
