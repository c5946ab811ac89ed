import { CancellationScope, isCancellation, proxyActivities } from '@temporalio/workflow';
import { onCapability } from './capability.js';
import type { ExportActivities } from './export-activities.js';
import { failureOf } from './failure.js';

const retry = { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' } as const;

/** Writing files: a cancelled run has stopped before its files are removed. */
export const files = onCapability<Pick<ExportActivities, 'runExport'>>('files', {
  startToCloseTimeout: '6 hours',
  heartbeatTimeout: '30 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry,
});

/** Short work on records, and the removal of files. */
export const exportRecords = proxyActivities<Omit<ExportActivities, 'runExport'>>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  retry,
});

/** Writes an export that the database already holds (workflow id = `export-` and its id). */
export async function exportStream({ exportId }: { exportId: string }): Promise<void> {
  try {
    await files.runExport({ exportId });
  } catch (error) {
    const { code, message } = failureOf(error, 'cancelled');
    const status = code === 'CANCELLED' ? 'cancelled' : 'failed';
    await CancellationScope.nonCancellable(() => exportRecords.endExport({ exportId, status, detail: message }));
    if (isCancellation(error)) throw error;
  }
}
