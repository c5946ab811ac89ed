import {
  ActivityFailure,
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  log,
  patched,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import {
  checkpointUpdate,
  covarianceSettledSignal,
  pauseUpdate,
  resumeUpdate,
  revokeUpdate,
  rollbackUpdate,
  stateQuery,
  wakeSignal,
} from './definitions.js';
import { compute, records } from './proxies.js';
import { runBatch } from './run-batch.js';
import { type StreamCarry, StreamState } from './stream-state.js';

const askAgainAfter = '10 minutes';

export interface EditStreamArgs {
  readonly streamId: string;
  readonly carry?: StreamCarry;
}

/**
 * One stream for its whole life (workflow id = stream id): pulls batches from the database while there are any, and
 * takes changes of the head between two batches. Never ends; hands over to a new run before its history grows large.
 */
export async function editStream({ streamId, carry }: EditStreamArgs): Promise<void> {
  const state = new StreamState(carry);
  setHandler(stateQuery, () => state.snapshot());
  setHandler(wakeSignal, () => state.wake());
  setHandler(covarianceSettledSignal, (failure) => state.covariancesSettled(failure));
  setHandler(pauseUpdate, async () => {
    state.pause();
    await state.exclusive('control', () => records.setPaused({ streamId, paused: true }));
  });
  setHandler(resumeUpdate, async () => {
    await state.exclusive('control', () => records.setPaused({ streamId, paused: false }));
    state.resume();
  });
  const control = <T>(work: () => Promise<T>): Promise<T> =>
    state.exclusive('control', async () => {
      try {
        return await work();
      } catch (error) {
        throw asUpdateFailure(error);
      }
    });
  setHandler(revokeUpdate, ({ editIds, reason }) =>
    control(async () => {
      const plan = await records.claimRevoke({ streamId, editIds, reason });
      try {
        const change = await runBatch(streamId, plan);
        state.committed();
        return change;
      } catch (error) {
        await records.releaseBatch({ streamId, seq: plan.seq });
        throw error;
      }
    }),
  );
  setHandler(rollbackUpdate, ({ seq }) => control(() => records.rollback({ streamId, seq })));
  setHandler(checkpointUpdate, ({ name }) => control(() => records.createCheckpoint({ streamId, name })));

  for (;;) {
    await condition(() => state.runnable);
    await state.exclusive('batch', () => step(streamId, state));
    const info = workflowInfo();
    if (state.shouldHandOver(info.historyLength, info.continueAsNewSuggested)) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof editStream>({ streamId, carry: state.carry() });
    }
  }
}

/** Prepares the stream, or takes one batch through. What cannot succeed by trying again stops the stream, visibly. */
async function step(streamId: string, state: StreamState): Promise<void> {
  if (!state.runnable) return;
  try {
    if (!state.isPrepared) {
      if (patched('covariance-workflow')) await covariances(streamId, state);
      await compute.prepareStream({ streamId });
      state.markPrepared();
      return;
    }
    state.drained();
    const plan = await records.claimBatch({ streamId });
    if (plan === null) return;
    state.wake();
    await runBatch(streamId, plan);
    state.committed();
  } catch (error) {
    if (!(error instanceof ActivityFailure || error instanceof ApplicationFailure)) throw error;
    const detail = asUpdateFailure(error).message;
    log.error('the stream stops until it is resumed', { detail });
    state.fail();
    await records.failStream({ streamId, detail });
  }
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

/** The failure of an activity as the caller of an update should see it: its own type (an error code) and message. */
function asUpdateFailure(error: unknown): Error {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure)
    return ApplicationFailure.nonRetryable(cause.message, cause.type ?? 'INTERNAL');
  return cause instanceof Error
    ? ApplicationFailure.nonRetryable(cause.message, 'INTERNAL')
    : ApplicationFailure.nonRetryable(String(cause), 'INTERNAL');
}
