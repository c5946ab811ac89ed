import { allHandlersFinished, condition, continueAsNew, patched, setHandler, workflowInfo } from '@temporalio/workflow';
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
import { asUpdateFailure } from './failures.js';
import { records } from './proxies.js';
import { runBatch } from './run-batch.js';
import { type StreamCarry, StreamState } from './stream-state.js';
import { takeBatch, takeWork } from './stream-steps.js';

/** Histories without it claim queued edits only. */
const revocations = 'revocations';

export interface EditStreamArgs {
  readonly streamId: string;
  readonly carry?: StreamCarry;
  /** Events after which the run hands over to the next; `historyLimit` when left out. */
  readonly handOverAfter?: number;
}

/**
 * One stream for its whole life (workflow id = stream id): pulls batches from the database while there are any, and
 * takes changes of the head between two batches; edits whose time has come are taken out again. Never ends; hands over to
 * a new run before its history grows large.
 */
export async function editStream({ streamId, carry, handOverAfter }: EditStreamArgs): Promise<void> {
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
        const { change } = await runBatch(streamId, plan);
        state.committed();
        return change;
      } catch (error) {
        await records.releaseBatch({ streamId, seq: plan.seq });
        throw error;
      }
    }),
  );
  setHandler(rollbackUpdate, ({ seq, idempotency }) =>
    control(async () => {
      const change = await records.rollback({ streamId, seq, ...(idempotency && { idempotency }) });
      // It may have brought back an edit that has expired since.
      if (patched(revocations)) state.wake();
      return change;
    }),
  );
  setHandler(checkpointUpdate, ({ name }) => control(() => records.createCheckpoint({ streamId, name })));

  for (;;) {
    if (patched(revocations)) {
      await workOrExpiry(state);
      await state.exclusive('batch', () => takeWork(streamId, state));
    } else {
      await condition(() => state.runnable);
      await state.exclusive('batch', () => takeBatch(streamId, state));
    }
    const info = workflowInfo();
    if (state.shouldHandOver(info.historyLength, info.continueAsNewSuggested, handOverAfter)) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof editStream>({
        streamId,
        carry: state.carry(),
        ...(handOverAfter !== undefined && { handOverAfter }),
      });
    }
  }
}

/** Waits until there is something to do, or an edit expires. */
async function workOrExpiry(state: StreamState): Promise<void> {
  const hasWork = () => state.hasWork;
  const left = state.untilExpiry(Date.now());
  if (left === undefined) await condition(hasWork);
  else if (!(await condition(hasWork, left))) state.wake();
}
