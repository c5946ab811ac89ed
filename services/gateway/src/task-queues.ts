import { type Capability, capabilities, type TaskQueue, taskQueueOf } from '@errata/contracts';
import type { ConnectionLike } from '@temporalio/client';

/**
 * A poll is held for a minute, and one that was not begun again since then has lost its worker; Temporal lists it for some
 * minutes more.
 */
const pollerAliveMs = 75_000;
const workflowTasks = 1;
const activityTasks = 2;

type Kind = typeof workflowTasks | typeof activityTasks;

/** The task queues of all capabilities: who polls them, and what waits in them. */
export function describeTaskQueues(connection: ConnectionLike, namespace: string): Promise<TaskQueue[]> {
  const describe = async (name: string, taskQueueType: Kind) => {
    const { pollers, stats } = await connection.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name },
      taskQueueType,
      reportStats: true,
    });
    const since = Date.now() - pollerAliveMs;
    const alive = (pollers ?? []).filter(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 >= since);
    const age = stats?.approximateBacklogAge;
    return {
      pollers: new Set(alive.map(({ identity }) => identity)).size,
      backlog: stats ? Number(stats.approximateBacklogCount ?? 0) : null,
      oldestSeconds: stats ? Number(age?.seconds ?? 0) + (age?.nanos ?? 0) / 1e9 : null,
    };
  };
  return Promise.all(
    capabilities.map(async (capability): Promise<TaskQueue> => {
      const taskQueue = taskQueueOf(capability);
      const kinds: Kind[] = capability === 'streams' ? [workflowTasks, activityTasks] : [activityTasks];
      const found = await Promise.all(kinds.map((kind) => describe(taskQueue, kind)));
      const pollers = Math.min(...found.map((one) => one.pollers));
      return {
        capability,
        taskQueue,
        pollers,
        backlog: found.reduce<number | null>((sum, { backlog }) => add(sum, backlog), 0),
        oldestSeconds: found.reduce<number | null>((most, { oldestSeconds: age }) => largest(most, age), 0),
        remedy: pollers > 0 ? null : remedyOf(capability),
      };
    }),
  );
}

const waiting: Readonly<Record<Capability, string>> = {
  streams: 'nothing goes on',
  model: 'edits, evaluations and covariances wait',
  files: 'exports, publications and snapshots wait',
};

function remedyOf(capability: Capability): string {
  return `no orchestrator polls it, so ${waiting[capability]}: start one, with ORCHESTRATOR_CAPABILITIES left out or naming ${capability}`;
}

function add(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function largest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.max(a, b);
}
