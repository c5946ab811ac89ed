import type { Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';

const DAY_MS = 86_400_000;

interface CollectionOptions {
  /** How long what no lineage reaches is kept. */
  readonly keepDays: number;
  readonly intervalMs: number;
}

/**
 * Collects garbage every `intervalMs`, one run at a time, until stopped. A run that failed or was killed is begun again by
 * the next; two orchestrators that run it at once wait for each other, stream by stream.
 */
export function startCollections(
  store: Pick<Store, 'collectGarbage'>,
  logger: Logger,
  { keepDays, intervalMs }: CollectionOptions,
): { stop(): void } {
  const stopped = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const run = async (): Promise<void> => {
    try {
      const found = await store.collectGarbage({ keepMs: keepDays * DAY_MS, signal: stopped.signal });
      if (found.batches + found.snapshots + found.chunks + found.deliveries > 0)
        logger.info({ ...found }, 'collected garbage');
    } catch (error) {
      if (!stopped.signal.aborted) logger.warn({ err: error }, 'collecting garbage failed');
    }
    if (!stopped.signal.aborted) timer = setTimeout(run, intervalMs);
  };
  timer = setTimeout(run, intervalMs);
  return {
    stop() {
      stopped.abort();
      clearTimeout(timer);
    },
  };
}
