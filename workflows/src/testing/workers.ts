import { type Capability, capabilities } from '@errata/contracts';
import { type NativeConnection, Worker, type WorkerOptions, type WorkflowBundle } from '@temporalio/worker';

/** Workers on the queues of several capabilities. */
export interface Workers {
  /** Runs them until `body` has ended; answers what it answers. */
  runUntil<Result>(body: () => Promise<Result>): Promise<Result>;
}

export interface WorkersOptions {
  readonly connection: NativeConnection;
  readonly taskQueue: string;
  readonly workflowBundle: WorkflowBundle;
  readonly activities: object;
  readonly maxCachedWorkflows?: number;
  /** All of them when left out. */
  readonly only?: readonly Capability[];
}

/** What one orchestrator is to the workflows: a worker on the queue of each of its capabilities. */
export async function startWorkers({
  taskQueue,
  workflowBundle,
  activities,
  maxCachedWorkflows,
  only = capabilities,
  connection,
}: WorkersOptions): Promise<Workers> {
  const optionsOf = (capability: Capability): WorkerOptions => {
    const common = { connection, activities: { ...activities } };
    if (capability !== 'streams') return { ...common, taskQueue: `${taskQueue}-${capability}` };
    return { ...common, taskQueue, workflowBundle, ...(maxCachedWorkflows !== undefined && { maxCachedWorkflows }) };
  };
  const workers = await Promise.all(only.map((capability) => Worker.create(optionsOf(capability))));
  return {
    runUntil: (body) => workers.reduce((inner, worker) => () => worker.runUntil(inner), body)(),
  };
}
