import { capabilities, taskQueueOf, workflowQueue } from '@errata/contracts';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from './testing/ledger.js';
import { recordHistory } from './testing/record-history.js';
import { plan, recordActivities } from './testing/recorded-activities.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';
import { startWorkers } from './testing/workers.js';

let temporal: TestTemporal;
beforeAll(async () => {
  temporal = await startTestTemporal();
});
afterAll(async () => {
  await temporal?.env.teardown();
});

/** Task queues of the activities that a run has scheduled, by their kind. */
async function queuesOf(run: WorkflowHandle): Promise<Map<string, string>> {
  const { events = [] } = await run.fetchHistory();
  const scheduled = events?.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []) ?? [];
  return new Map(scheduled.map((at) => [at.activityType?.name ?? '', at.taskQueue?.name ?? '']));
}

test('a batch is carried by workers of different capabilities, and waits for one that is not there', async () => {
  const taskQueue = 'capabilities';
  const recording = recordActivities();
  const { calls } = recording;
  const workers = (only: readonly (typeof capabilities)[number][]) =>
    startWorkers({
      connection: temporal.env.nativeConnection,
      taskQueue,
      workflowBundle: temporal.bundle,
      activities: recording.activities,
      only,
    });
  recording.queue.push(plan(1));
  const [streams, model] = [await workers(['streams']), await workers(['model'])];
  const handle = await streams.runUntil(async () => {
    const started = await temporal.env.client.workflow.start('editStream', {
      taskQueue,
      workflowId: 'str_capabilities',
      args: [{ streamId: 'str_capabilities' }],
    });
    await expect
      .poll(async () => [...(await queuesOf(started)).keys()], { timeout: 10_000 })
      .toContain('prepareStream');
    expect(calls).toEqual(['requestCovariances']);
    await model.runUntil(() => until(() => calls.includes('measureDrift 1') && calls.at(-1) === 'nextWork'));
    await recordHistory(temporal.env, { workflowId: started.workflowId }, 'a batch on queues by capability');
    return started;
  });
  expect(Object.fromEntries(await queuesOf(handle))).toMatchObject({
    requestCovariances: taskQueue,
    nextWork: taskQueue,
    commitBatch: taskQueue,
    prepareStream: `${taskQueue}-model`,
    resolveTargets: `${taskQueue}-model`,
    applyLayer: `${taskQueue}-model`,
    probeBatch: `${taskQueue}-model`,
  });
  await handle.terminate('the test is over');
});

test('workflows name their queues as orchestrators do', () => {
  expect(capabilities.map(taskQueueOf)).toEqual([workflowQueue, `${workflowQueue}-model`, `${workflowQueue}-files`]);
});
