import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';

/** The failure of an activity as the caller of an update should see it: its own type (an error code) and message. */
export function asUpdateFailure(error: unknown): ApplicationFailure {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure)
    return ApplicationFailure.nonRetryable(cause.message, cause.type ?? 'INTERNAL');
  return cause instanceof Error
    ? ApplicationFailure.nonRetryable(cause.message, 'INTERNAL')
    : ApplicationFailure.nonRetryable(String(cause), 'INTERNAL');
}
