import type { TaskQueue } from '@errata/contracts';
import { sharedReading } from '@errata/telemetry';
import { Gauge, type Registry } from 'prom-client';

const gauges: readonly (readonly [name: string, help: string, value: (queue: TaskQueue) => number | null])[] = [
  ['errata_task_queue_pollers', 'Orchestrators that poll the task queue of a capability', ({ pollers }) => pollers],
  ['errata_task_queue_backlog', 'Tasks that wait in it for an orchestrator, about', ({ backlog }) => backlog],
  ['errata_task_queue_oldest_seconds', 'Age of the task that waits longest', ({ oldestSeconds }) => oldestSeconds],
];

/**
 * Shows the task queues as Temporal has them, read when the page is asked for and the same on every gateway. Without
 * Temporal they are absent.
 */
export function exportTaskQueueMetrics(registry: Registry, taskQueues: () => Promise<readonly TaskQueue[]>): void {
  const read = sharedReading(taskQueues);
  for (const [name, help, value] of gauges)
    new Gauge({
      name,
      help,
      labelNames: ['capability', 'task_queue'],
      registers: [registry],
      async collect() {
        const queues = (await read()) ?? [];
        this.reset();
        for (const queue of queues) {
          const shown = value(queue);
          if (shown !== null) this.set({ capability: queue.capability, task_queue: queue.taskQueue }, shown);
        }
      },
    });
}
