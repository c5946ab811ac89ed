import { listTaskQueuesResponseSchema } from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';

/** Who takes the work of the workflows. */
export function taskQueueRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/v1/task-queues',
      operationId: 'listTaskQueues',
      tag: 'System',
      summary: 'The task queue of each capability: who polls it, and what waits',
      description:
        'Orchestrators may be started for some capabilities only. One that nobody polls has a `remedy`; what waits there goes on when somebody does. A process that was killed counts for another minute.',
      status: 200,
      errors: ['NOT_READY'],
      reply: listTaskQueuesResponseSchema,
      handler: async () => ({ json: { taskQueues: await deps.workflows.taskQueues() } }),
    }),
  ];
}
