import { ActivityFailure } from '@temporalio/workflow';
import { compute, records } from './proxies.js';

/** Re-measures all active edits of a stream at the position the evaluation was created for. */
export async function evaluateStream(args: { streamId: string; evaluationId: string }): Promise<void> {
  try {
    await compute.evaluate(args);
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    await records.failEvaluation({ ...args, detail: error.cause?.message ?? error.message });
  }
}
