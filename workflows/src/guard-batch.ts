import { ParentClosePolicy, startChild } from '@temporalio/workflow';
import type { BatchPlan } from './activities.js';
import type { deliverWebhook } from './deliver-webhook.js';
import { judge } from './guards.js';
import { compute, records } from './proxies.js';
import type { StreamState } from './stream-state.js';

/** Probes the model after a committed batch, judges what was found by the budgets of the stream and does what follows. */
export async function guardBatch(
  streamId: string,
  { seq, kind, revocationId }: BatchPlan,
  state: StreamState,
  driftSeconds: number,
): Promise<void> {
  const { readings } = await compute.probeBatch({ streamId, seq, driftSeconds });
  const removal = kind === 'revoke' || (revocationId ?? null) !== null;
  const { verdict, memory } = judge({ readings, removal }, state.guardMemory);
  state.guardMemory = memory;
  if (verdict === null) return;
  const { action, trips, pause } = verdict;
  const budgets = trips.map(({ budget }) => budget);
  const to = action === 'rollback' ? (await compute.findGood({ streamId, seq, budgets })).seq : null;
  const done = await records.carryOutGuard({ streamId, seq, action, trips, to, pause });
  if (pause) state.pause();
  // An edit that expired meanwhile may be back in the weights.
  if (done.head !== seq) state.wake();
  if (done.delivery === null) return;
  await startChild<typeof deliverWebhook>('deliverWebhook', {
    workflowId: `webhook-${done.delivery}`,
    args: [{ deliveryId: done.delivery }],
    parentClosePolicy: ParentClosePolicy.ABANDON,
  });
}
