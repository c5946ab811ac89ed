import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { onCapability } from './capability.js';
import type { ExportActivities } from './export-activities.js';
import { exportRecords, files } from './export-stream.js';
import { failureOf } from './failure.js';

/** Calls to the server: one that stays away for about a minute ends the publication, the previous adapter stays. */
const server = onCapability<Pick<ExportActivities, 'loadAdapter' | 'verifyAdapter' | 'unloadPrevious' | 'fallBack'>>(
  'files',
  {
    startToCloseTimeout: '1 hour',
    heartbeatTimeout: '30 seconds',
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '20s', maximumAttempts: 8 },
  },
);

/**
 * Brings a position of a stream to a server as an adapter (workflow id = `publish-` and the id of the publication): export,
 * load, verify, move the alias, unload the one before. Up to the move of the alias every failure leaves the previous
 * adapter in its place and takes the new one out again.
 */
export async function publishStream({ publicationId }: { publicationId: string }): Promise<void> {
  let exportId: string | null = null;
  let previous: string | null;
  try {
    const plan = await exportRecords.beginPublication({ publicationId });
    exportId = plan.exportId;
    previous = plan.previous;
    await files.runExport({ exportId });
    await server.loadAdapter({ publicationId });
    await server.verifyAdapter({ publicationId });
    await exportRecords.moveAlias({ publicationId, version: plan.version });
  } catch (error) {
    await CancellationScope.nonCancellable(() => giveUp(publicationId, exportId, error));
    if (isCancellation(error)) throw error;
    return;
  }
  await CancellationScope.nonCancellable(() => finish(publicationId, previous));
}

async function giveUp(publicationId: string, exportId: string | null, error: unknown): Promise<void> {
  const { code, message } = failureOf(error, 'cancelled');
  const status = code === 'CANCELLED' ? 'cancelled' : 'failed';
  let detail = message;
  try {
    await server.fallBack({ publicationId, detail: message });
  } catch (failure) {
    detail = `${message}; the adapter could not be unloaded: ${failureOf(failure, 'cancelled').message}`;
  }
  if (exportId !== null) await exportRecords.endExport({ exportId, status, detail: message });
  await exportRecords.endPublication({ publicationId, status, detail });
}

/** The alias has moved: an adapter that stays loaded beside it is said, but no failure. */
async function finish(publicationId: string, previous: string | null): Promise<void> {
  let detail: string | null = null;
  if (previous !== null)
    try {
      await server.unloadPrevious({ publicationId, loraName: previous });
    } catch (error) {
      detail = `${previous} could not be unloaded: ${failureOf(error, 'cancelled').message}`;
    }
  await exportRecords.endPublication({ publicationId, status: 'done', detail });
}
