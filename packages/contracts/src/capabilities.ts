import { z } from 'zod';

/**
 * What an orchestrator can do, each with a task queue of its own: `streams` runs the workflows and their short work on
 * records, `model` what calls model runtimes and shard workers, `files` exports, publications and snapshots.
 */
export const capabilities = ['streams', 'model', 'files'] as const;
export const capabilitySchema = z.enum(capabilities);
export type Capability = (typeof capabilities)[number];

/** Task queue of the workflows; those of the other capabilities are named after it. */
export const workflowQueue = 'errata-streams';

export function taskQueueOf(capability: Capability): string {
  return capability === 'streams' ? workflowQueue : `${workflowQueue}-${capability}`;
}

/** The task queue of a capability, as Temporal has it. */
export const taskQueueSchema = z
  .object({
    capability: capabilitySchema,
    taskQueue: z.string(),
    pollers: z.int().min(0).describe('Orchestrators that take tasks from it'),
    backlog: z.int().min(0).nullable().describe('Tasks that wait, about; null where Temporal does not say'),
    oldestSeconds: z.number().min(0).nullable().describe('Age of the task that waits longest'),
    remedy: z.string().nullable().describe('What to do, where nobody polls it'),
  })
  .meta({ id: 'TaskQueue' });
export type TaskQueue = z.infer<typeof taskQueueSchema>;

export const listTaskQueuesResponseSchema = z
  .object({ taskQueues: z.array(taskQueueSchema) })
  .meta({ id: 'ListTaskQueuesResponse' });
