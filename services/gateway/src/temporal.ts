import {
  type Checkpoint,
  ErrataError,
  type HeadChange,
  isErrorCode,
  type RepairReport,
  type TakeSnapshotResponse,
  workflowQueue as taskQueue,
  toErrataError,
} from '@errata/contracts';
import {
  ApplicationFailure,
  Client,
  Connection,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  ServiceError,
  WithStartWorkflowOperation,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import type { WorkflowGateway } from './deps.js';
import { describeTaskQueues } from './task-queues.js';

/** A wake-up is an optimisation: the answer to the client must not wait long for it. */
const wakeTimeoutMs = 5000;
/** A change of the head waits for the batch in progress, which may be waiting for a worker to come back. */
const updateTimeoutMs = 600_000;
const pingTimeoutMs = 2000;

type EditStream = (args: { streamId: string }) => Promise<void>;

export interface TemporalOptions {
  /** host:port */
  readonly address: string;
  readonly namespace: string;
}

/** The workflows behind the API, by the names that `@errata/workflows` gives them. Connects on first use. */
export function connectWorkflows(options: TemporalOptions): WorkflowGateway & { close(): Promise<void> } {
  const connection = Connection.lazy({ address: options.address });
  const client = new Client({ connection, namespace: options.namespace });

  const within = async <Result>(
    timeoutMs: number,
    signal: AbortSignal | null,
    call: () => Promise<Result>,
  ): Promise<Result> => {
    const limited = () => client.withDeadline(Date.now() + timeoutMs, call);
    try {
      return await (signal ? client.withAbortSignal(signal, limited) : limited());
    } catch (error) {
      throw fromTemporal(error, options.address);
    }
  };

  /** Sends an update to the stream's workflow, starting it where it does not run, and waits for its result. */
  const update = <Result>(streamId: string, name: string, args: unknown[], signal: AbortSignal): Promise<Result> =>
    within(updateTimeoutMs, signal, () =>
      client.workflow.executeUpdateWithStart<EditStream, Result, unknown[]>(name, {
        args,
        startWorkflowOperation: new WithStartWorkflowOperation<EditStream>('editStream', {
          workflowId: streamId,
          taskQueue,
          args: [{ streamId }],
          workflowIdConflictPolicy: 'USE_EXISTING',
        }),
      }),
    );

  /** Runs a workflow to its end, or waits for the one that runs. */
  const run = <Result>(name: string, workflowId: string, args: object, signal: AbortSignal): Promise<Result> =>
    within(
      updateTimeoutMs,
      signal,
      () =>
        client.workflow.execute(name, {
          workflowId,
          taskQueue,
          args: [args],
          workflowIdConflictPolicy: 'USE_EXISTING',
        }) as Promise<Result>,
    );
  const start = async (workflow: string, workflowId: string, args: object): Promise<void> => {
    await within(wakeTimeoutMs, null, () =>
      client.workflow.start(workflow, {
        workflowId,
        taskQueue,
        args: [args],
        workflowIdConflictPolicy: 'USE_EXISTING',
      }),
    );
  };

  return {
    async wake(streamId) {
      await within(wakeTimeoutMs, null, () =>
        client.workflow.signalWithStart('editStream', {
          workflowId: streamId,
          taskQueue,
          args: [{ streamId }],
          signal: 'wake',
        }),
      );
    },
    rollback: (streamId, seq, idempotency, signal) =>
      update<HeadChange>(streamId, 'rollback', [{ seq, ...(idempotency && { idempotency }) }], signal),
    checkpoint: (streamId, name, signal) => update<Checkpoint>(streamId, 'checkpoint', [{ name }], signal),
    pause: (streamId, signal) => update<void>(streamId, 'pause', [], signal),
    resume: (streamId, signal) => update<void>(streamId, 'resume', [], signal),
    async evaluate(streamId, evaluationId) {
      await within(wakeTimeoutMs, null, () =>
        client.workflow.start('evaluateStream', {
          workflowId: `evaluate-${evaluationId}`,
          taskQueue,
          args: [{ streamId, evaluationId }],
          workflowIdConflictPolicy: 'USE_EXISTING',
        }),
      );
    },
    takeSnapshot: (streamId, seq, signal) =>
      run<TakeSnapshotResponse['snapshot']>('snapshot', `snapshot-${streamId}-${seq}`, { streamId, seq }, signal),
    repair: (streamId, signal) => run<RepairReport>('repair', `repair-${streamId}`, { streamId }, signal),
    startExport: (exportId) => start('exportStream', `export-${exportId}`, { exportId }),
    cancelExport: (exportId) =>
      within(wakeTimeoutMs, null, async () => {
        try {
          await client.workflow.getHandle(`export-${exportId}`).cancel();
          return true;
        } catch (error) {
          if (error instanceof WorkflowNotFoundError) return false;
          throw error;
        }
      }),
    startPublication: (publicationId) => start('publishStream', `publish-${publicationId}`, { publicationId }),
    taskQueues: () => within(pingTimeoutMs, null, () => describeTaskQueues(connection, options.namespace)),
    async ping() {
      await within(pingTimeoutMs, null, () => connection.workflowService.getSystemInfo({}));
    },
    close: () => connection.close(),
  };
}

/** The error that a workflow meant; a failure to reach Temporal becomes `NOT_READY`. */
export function fromTemporal(error: unknown, address: string): ErrataError {
  if (error instanceof WorkflowUpdateFailedError || error instanceof WorkflowFailedError)
    return fromUpdateFailure(error);
  const timedOut = error instanceof WorkflowUpdateRPCTimeoutOrCancelledError;
  if (isGrpcCancelledError(error) || (timedOut && isGrpcCancelledError(error.cause)))
    return new ErrataError('CANCELLED', 'The request was given up; what it asked for may still happen', {
      cause: error,
    });
  if (timedOut)
    return new ErrataError(
      'DEADLINE_EXCEEDED',
      'The workflow did not answer in time; what was asked for may still happen: look at the stream',
      { cause: error },
    );
  if (error instanceof ServiceError || isGrpcServiceError(error) || isGrpcDeadlineError(error))
    return new ErrataError('NOT_READY', `Temporal at ${address} does not answer: ${reasonOf(error)}`, { cause: error });
  return toErrataError(error);
}

function fromUpdateFailure(error: WorkflowUpdateFailedError | WorkflowFailedError): ErrataError {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause)
    if (cause instanceof ApplicationFailure && cause.type && isErrorCode(cause.type))
      return new ErrataError(cause.type, cause.message, { cause: error });
  return new ErrataError('INTERNAL', error.cause?.message ?? error.message, { cause: error });
}

function reasonOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}
