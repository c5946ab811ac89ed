import type { RepairActivities, RepairReport } from './activities.js';
import { onCapability } from './capability.js';

const { repairLog } = onCapability<RepairActivities>('model', {
  startToCloseTimeout: '6 hours',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s', maximumAttempts: 6 },
});

/** Puts back what a damaged log can give itself. */
export async function repair(args: { streamId: string }): Promise<RepairReport> {
  return repairLog(args);
}
