import { workflowQueue as taskQueue } from '@errata/contracts';
import type { ReplayCost, Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';
import type { Client } from '@temporalio/client';

/** Bytes of entries that are read, held against their hash and multiplied out a second, from below (docs/performance.md). */
const REPLAY_BYTES_PER_SECOND = 150e6;
/** What an entry takes besides. */
const ENTRY_SECONDS = 1e-4;

/** How long a runtime that knows nothing would take to replay. */
export function replaySeconds({ entries, bytes }: Pick<ReplayCost, 'entries' | 'bytes'>): number {
  return bytes / REPLAY_BYTES_PER_SECOND + entries * ENTRY_SECONDS;
}

/** Decides after a commit whether a snapshot is due. */
export interface SnapshotPolicy {
  /** Begins a snapshot when the replay since the last one would take too long. Never throws: a snapshot only saves time. */
  consider(streamId: string, seq: number): Promise<void>;
}

/** @param afterSeconds of estimated replay at which a snapshot is taken; 0 for never */
export function snapshotPolicy(
  store: Pick<Store, 'replayCost'>,
  client: Pick<Client, 'workflow'>,
  logger: Logger,
  afterSeconds: number,
): SnapshotPolicy {
  return {
    async consider(streamId, seq) {
      if (afterSeconds === 0 || seq === 0) return;
      try {
        const cost = await store.replayCost(streamId, seq, 'weights');
        if (replaySeconds(cost) < afterSeconds) return;
        // One at a time of a stream: the next commit asks again.
        await client.workflow.start('snapshot', {
          workflowId: `snapshot-${streamId}`,
          taskQueue,
          args: [{ streamId, seq }],
          workflowIdConflictPolicy: 'USE_EXISTING',
        });
      } catch (error) {
        logger.warn({ streamId, seq, err: error }, 'no snapshot was begun; the next commit tries again');
      }
    },
  };
}
