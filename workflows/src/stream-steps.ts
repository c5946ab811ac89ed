import { ActivityFailure, ApplicationFailure, condition, log, patched } from '@temporalio/workflow';
import type { WorkPlan } from './activities.js';
import { asUpdateFailure } from './failures.js';
import { guardBatch } from './guard-batch.js';
import { compute, records } from './proxies.js';
import { runBatch } from './run-batch.js';
import type { StreamState } from './stream-state.js';

const askAgainAfter = '10 minutes';

/**
 * Prepares the stream, or takes one step: a batch of a revocation or of the queue, or the end of a revocation. What
 * cannot succeed by trying again ends the revocation, or stops the stream, visibly.
 */
export async function takeWork(streamId: string, state: StreamState): Promise<void> {
  if (!state.hasWork) return;
  await stopOnFailure(streamId, state, async () => {
    if (state.runnable && !state.isPrepared) return prepare(streamId, state);
    state.drained();
    const held = state.held || !state.isPrepared;
    const work = await records.nextWork({ streamId, at: new Date(Date.now()).toISOString(), held });
    state.expiresNext(work.nextExpiry);
    if (work.batch === null && work.finishing === null) return;
    state.wake();
    const driftSeconds = await carryOut(streamId, state, work);
    if (work.batch !== null && driftSeconds !== null && patched('guards'))
      await guardBatch(streamId, work.batch, state, driftSeconds);
  });
}

/** Answers what measuring the drift of the batch took; null where nothing was written, or the revocation could not go on. */
async function carryOut(streamId: string, state: StreamState, { batch, finishing }: WorkPlan): Promise<number | null> {
  try {
    if (finishing) await compute.finishRevocation({ streamId, ...finishing });
    if (batch === null) return null;
    const { driftSeconds } = await runBatch(streamId, batch);
    state.committed();
    return driftSeconds;
  } catch (error) {
    const revocationId = finishing?.revocationId ?? batch?.revocationId ?? null;
    if (revocationId === null || !isFailure(error)) throw error;
    const { type, message } = asUpdateFailure(error);
    const { cause } = await records.failRevocation({ streamId, revocationId, code: type ?? 'INTERNAL', message });
    // Nobody waits for the end of an expiry: without a person it would be tried for ever.
    if (cause === 'expiry') throw error;
    return null;
  }
}

/** Prepares the stream, or takes one batch of the queue through: what runs begun before revocations were records do. */
export async function takeBatch(streamId: string, state: StreamState): Promise<void> {
  if (!state.runnable) return;
  await stopOnFailure(streamId, state, async () => {
    if (!state.isPrepared) return prepare(streamId, state);
    state.drained();
    const plan = await records.claimBatch({ streamId });
    if (plan === null) return;
    state.wake();
    await runBatch(streamId, plan);
    state.committed();
  });
}

async function stopOnFailure(streamId: string, state: StreamState, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isFailure(error)) throw error;
    const detail = asUpdateFailure(error).message;
    log.error('the stream stops until it is resumed', { detail });
    state.fail();
    await records.failStream({ streamId, detail });
  }
}

function isFailure(error: unknown): boolean {
  return error instanceof ActivityFailure || error instanceof ApplicationFailure;
}

async function prepare(streamId: string, state: StreamState): Promise<void> {
  if (patched('covariance-workflow')) await covariances(streamId, state);
  await compute.prepareStream({ streamId });
  state.markPrepared();
}

/**
 * Waits until the covariance of every edited layer is there. A run says so itself; asking again now and then covers one
 * that was terminated and can say nothing.
 */
async function covariances(streamId: string, state: StreamState): Promise<void> {
  for (;;) {
    state.awaitCovariances();
    const { missing } = await records.requestCovariances({ streamId });
    if (missing === 0) return;
    await condition(() => state.haveCovariancesSettled, askAgainAfter);
    const failure = state.covarianceFailure;
    if (failure) throw ApplicationFailure.nonRetryable(failure.message, failure.code);
  }
}
