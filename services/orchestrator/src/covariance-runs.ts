import { createHash } from 'node:crypto';
import { ErrataError, workflowQueue as taskQueue } from '@errata/contracts';
import type { CovarianceArgs } from '@errata/workflows';
import { type Client, isGrpcServiceError, ServiceError } from '@temporalio/client';

/** The runs of the workflow `covariance`. */
export interface CovarianceRuns {
  /**
   * Has a stream wait for layers of a covariance: in the run that is under way, or in a new one. The run tells its workflow.
   * @throws NOT_READY when Temporal does not answer
   */
  join(args: CovarianceArgs, waiter: { streamId: string; layers: number[] }): Promise<void>;
}

/** Equal arguments have equal ids: of two that ask at once, Temporal lets one start the run, the other joins it. */
export function covarianceWorkflowId({ modelId, source, tokens }: CovarianceArgs): string {
  return `covariance-${createHash('sha256')
    .update(JSON.stringify([modelId, source, tokens]))
    .digest('hex')
    .slice(0, 32)}`;
}

export function covarianceRuns(client: Pick<Client, 'workflow'>): CovarianceRuns {
  return {
    async join(args, waiter) {
      try {
        await client.workflow.signalWithStart('covariance', {
          workflowId: covarianceWorkflowId(args),
          taskQueue,
          args: [args],
          signal: 'join',
          signalArgs: [waiter],
        });
      } catch (error) {
        if (!(error instanceof ServiceError || isGrpcServiceError(error))) throw error;
        throw new ErrataError('NOT_READY', `Temporal does not answer: ${error.message}`, { cause: error });
      }
    },
  };
}
