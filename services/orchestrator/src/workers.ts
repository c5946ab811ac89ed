import { type Capability, taskQueueOf } from '@errata/contracts';
import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { workflowSource } from './bundle.js';

/** Time for activities to end by themselves when the process is stopped. */
const shutdownGraceTime = '5 seconds';

export interface CapabilityWorkersOptions {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly capabilities: readonly Capability[];
  /** Most activities of a capability that run at once. */
  readonly concurrency: Readonly<Record<Capability, number>>;
  readonly activities: object;
}

/** What polls the task queues of an orchestrator. */
export interface CapabilityWorkers {
  readonly taskQueues: readonly string[];
  /** Whether each queue is polled. */
  healthy(): boolean;
  /** Runs until `stop`. @throws when a worker ends by itself; the others are stopped then */
  run(): Promise<void>;
  stop(): void;
}

/**
 * A worker for the task queue of each capability. All of them know all activities: one that an earlier version scheduled on
 * another queue finds its code there.
 */
export async function createWorkers(options: CapabilityWorkersOptions): Promise<CapabilityWorkers> {
  const { connection, namespace, concurrency, activities } = options;
  const optionsOf = (capability: Capability): WorkerOptions => ({
    connection,
    namespace,
    taskQueue: taskQueueOf(capability),
    activities: { ...activities },
    maxConcurrentActivityTaskExecutions: concurrency[capability],
    shutdownGraceTime,
    ...(capability === 'streams' && workflowSource()),
  });
  const workers = await Promise.all(options.capabilities.map((capability) => Worker.create(optionsOf(capability))));
  const stop = () => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  return {
    taskQueues: options.capabilities.map(taskQueueOf),
    healthy: () => workers.every((worker) => ['INITIALIZED', 'RUNNING'].includes(worker.getState())),
    async run() {
      try {
        await Promise.all(workers.map((worker) => worker.run()));
      } finally {
        stop();
      }
    },
    stop,
  };
}
