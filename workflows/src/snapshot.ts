import type { SnapshotActivities, SnapshotArgs, SnapshotTaken } from './activities.js';
import { onCapability } from './capability.js';

/** A snapshot saves time and nothing else: what fails this often is tried again after the next commits. */
const { takeSnapshot } = onCapability<SnapshotActivities>('files', {
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s', maximumAttempts: 6 },
});

/** Keeps a snapshot of a position beside the stream's own workflow, which goes on meanwhile. */
export async function snapshot(args: SnapshotArgs): Promise<SnapshotTaken> {
  return takeSnapshot(args);
}
