import { ActivityFailure, ApplicationFailure, isCancellation } from '@temporalio/workflow';
import type { Failure } from './stream-state.js';

/** The failure of an activity by its own code and message. `cancelled` says what a cancellation means. */
export function failureOf(error: unknown, cancelled: string): Failure {
  if (isCancellation(error)) return { code: 'CANCELLED', message: cancelled };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const code = cause instanceof ApplicationFailure && cause.type ? cause.type : 'INTERNAL';
  return { code, message: cause instanceof Error ? cause.message : String(cause) };
}
