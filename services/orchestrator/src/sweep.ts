import { workflowQueue as taskQueue } from '@errata/contracts';
import type { Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';
import type { Client } from '@temporalio/client';

/**
 * Wakes every stream that has work in the database: whatever became of the wake-up that a client's request sent, or of
 * Temporal itself, no stored edit waits longer than one interval.
 */
export async function sweep(store: Store, client: Client, logger: Logger): Promise<number> {
  const streamIds = await store.listStreamsWithWork();
  for (const streamId of streamIds) {
    await client.workflow.signalWithStart('editStream', {
      workflowId: streamId,
      taskQueue,
      args: [{ streamId }],
      signal: 'wake',
      signalArgs: [],
    });
  }
  if (streamIds.length > 0) logger.debug({ streams: streamIds.length }, 'woke streams with work');
  return streamIds.length;
}

/** Runs the sweep now and then every `intervalMs`, one at a time, until stopped. A failed sweep is logged and tried again. */
export function startSweeps(store: Store, client: Client, logger: Logger, intervalMs: number): { stop(): void } {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const run = async (): Promise<void> => {
    try {
      await sweep(store, client, logger);
    } catch (error) {
      logger.warn({ err: error }, 'sweep failed');
    }
    if (!stopped) timer = setTimeout(run, intervalMs);
  };
  void run();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
