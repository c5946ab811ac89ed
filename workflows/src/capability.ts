import type { Capability } from '@errata/contracts';
import { type ActivityInterfaceFor, type ActivityOptions, proxyActivities, workflowInfo } from '@temporalio/workflow';

/**
 * Activities that only orchestrators with a capability run: they are scheduled on its task queue, which is named after the
 * workflow's own. Replay compares kind and id of an activity, not its queue: runs begun before there were several go on.
 */
export function onCapability<Activities>(
  capability: Exclude<Capability, 'streams'>,
  options: ActivityOptions,
): ActivityInterfaceFor<Activities> {
  return new Proxy({} as ActivityInterfaceFor<Activities>, {
    get(_, name) {
      // The queue is known when a workflow runs, not when its code is loaded.
      const taskQueue = `${workflowInfo().taskQueue}-${capability}`;
      return Reflect.get(proxyActivities<Activities>({ ...options, taskQueue }), name);
    },
  });
}
