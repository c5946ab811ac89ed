import type { Logger } from './logger.js';
import { onEndSignal } from './thread.js';

/** Longest time a service may take to stop, in milliseconds, before it exits anyway. */
const stopTimeoutMs = 10_000;

/**
 * Runs `stop` once on SIGTERM or SIGINT and exits: 0 when it worked, 1 when it failed or took too long. A programming
 * error that nobody caught is logged and ends the process, so that its supervisor starts a clean one.
 */
export function onShutdown(logger: Logger, stop: () => Promise<void>): void {
  let stopping = false;
  const shutdown = (signal: string) => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, 'stopping');
    setTimeout(() => process.exit(1), stopTimeoutMs).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'could not stop cleanly');
        process.exit(1);
      },
    );
  };
  onEndSignal(shutdown);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (error: unknown) => {
      logger.fatal({ err: error, event }, 'giving up');
      process.exit(1);
    });
}
