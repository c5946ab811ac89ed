import {
  ApplicationFailure,
  CancellationScope,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setHandler,
} from '@temporalio/workflow';
import type { CovarianceArgs } from './activities.js';
import { CovarianceRun } from './covariance-run.js';
import { covarianceQuery, covarianceSettledSignal, joinSignal } from './definitions.js';
import { failureOf } from './failure.js';
import { compute } from './proxies.js';
import type { Failure } from './stream-state.js';

/**
 * The covariance of a model's layers over one text, for every stream that joins it (the workflow id is made of the
 * arguments). It goes slice by slice, and what is summed lies in the database: a run that is begun again goes on at the
 * next slice. It belongs to the model, not to who asked first: it goes on when a stream waits no longer. At most 256 slices a
 * pass keep its history short.
 */
export async function covariance(args: CovarianceArgs): Promise<void> {
  const run = new CovarianceRun();
  setHandler(joinSignal, ({ streamId, layers }) => run.join(streamId, layers));
  setHandler(covarianceQuery, () => run.progress());
  try {
    while (run.streams.length > 0) {
      const layers = run.wanted();
      if (layers.length > 0) await computeLayers(args, run, layers);
      await tell(run.takeSatisfied(), null);
    }
  } catch (error) {
    const failure = failureOf(error, 'the covariance was cancelled; resume the stream to go on with it');
    await CancellationScope.nonCancellable(async () => {
      while (run.streams.length > 0) await tell(run.takeAll(), failure);
    });
    throw isCancellation(error) ? error : ApplicationFailure.nonRetryable(failure.message, failure.code);
  }
}

async function computeLayers(args: CovarianceArgs, run: CovarianceRun, layers: readonly number[]): Promise<void> {
  const plan = await compute.planCovariance(args);
  run.begin(layers, plan.slices);
  while (run.unfinished) {
    const { slices } = await compute.addCovarianceSlice({ run: plan, layers, streamIds: run.streams });
    run.advance(slices);
  }
  await compute.finishCovariances({ run: plan, layers });
  run.finish();
}

async function tell(streamIds: readonly string[], failure: Failure | null): Promise<void> {
  for (const streamId of streamIds) {
    try {
      await getExternalWorkflowHandle(streamId).signal(covarianceSettledSignal, failure);
    } catch (error) {
      if (isCancellation(error)) throw error;
      // Its workflow has ended meanwhile.
      log.warn('a stream that waited for the covariance is gone', { streamId, error: String(error) });
    }
  }
}
