import { toErrataError } from '@errata/contracts';
import type { Logger } from '@errata/telemetry';
import { activityInfo, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

/** How often an error of unknown kind is tried again before it counts as final: a fault in the code does not heal. */
const internalAttempts = 10;
const heartbeatMs = 5000;

type Activity<Args, Result> = (args: Args, signal: AbortSignal) => Promise<Result>;

/**
 * Turns a function into an activity: heartbeats while it runs, hands it the cancellation signal, and decides by the
 * error's class whether Temporal tries again.
 */
export function guard<Args, Result>(
  logger: Logger,
  name: string,
  work: Activity<Args, Result>,
): (args: Args) => Promise<Result> {
  return async (args) => {
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), heartbeatMs);
    try {
      return await work(args, context.cancellationSignal);
    } catch (error) {
      // The worker is stopping or the workflow cancelled the activity: the SDK reports it as cancelled.
      if (context.cancellationSignal.aborted) return await context.cancelled;
      throw asFailure(error, activityInfo().attempt, logger, name);
    } finally {
      clearInterval(timer);
    }
  };
}

function asFailure(error: unknown, attempt: number, logger: Logger, name: string): ApplicationFailure {
  const known = toErrataError(error);
  const final =
    known.code === 'CANCELLED' ? false : !known.retryable || (known.code === 'INTERNAL' && attempt >= internalAttempts);
  logger.warn({ activity: name, code: known.code, attempt, final, err: known }, 'activity failed');
  return ApplicationFailure.create({ type: known.code, message: known.message, nonRetryable: final });
}
