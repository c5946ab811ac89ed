import { ApplicationFailure, WorkflowUpdateFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StreamActivities } from './activities.js';
import {
  checkpointUpdate,
  pauseUpdate,
  resumeUpdate,
  revokeUpdate,
  rollbackUpdate,
  stateQuery,
  wakeSignal,
} from './definitions.js';
import type { EditStreamArgs } from './edit-stream.js';
import { recordHistory } from './testing/record-history.js';
import { plan, type Recording, recordActivities } from './testing/recorded-activities.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';
import { startWorkers } from './testing/workers.js';

let temporal: TestTemporal;
let env: TestTemporal['env'];
let bundle: TestTemporal['bundle'];
let streams = 0;

beforeAll(async () => {
  temporal = await startTestTemporal();
  ({ env, bundle } = temporal);
});

afterAll(async () => {
  await temporal?.env.teardown();
});

/** Runs a stream's workflow with the given activities while `body` talks to it, then ends it. */
async function withStream(
  recording: Recording,
  body: (handle: Awaited<ReturnType<typeof start>>) => Promise<void>,
  args: Partial<EditStreamArgs> = {},
) {
  const taskQueue = `q${streams++}`;
  const worker = await startWorkers({
    connection: env.nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities: recording.activities,
  });
  await worker.runUntil(async () => {
    const handle = await start(taskQueue, args);
    try {
      await body(handle);
      const name = (expect.getState().currentTestName ?? '').replace(/^.* > /, '');
      await recordHistory(env, { workflowId: handle.workflowId, runId: handle.firstExecutionRunId }, name);
    } finally {
      await handle.terminate('the test is over');
    }
  });
}

function start(taskQueue: string, args: Partial<EditStreamArgs>) {
  return env.client.workflow.start<(args: EditStreamArgs) => Promise<void>>('editStream', {
    taskQueue,
    workflowId: `str_${streams}`,
    args: [{ streamId: `str_${streams}`, ...args }],
  });
}

async function until(condition: () => boolean, seconds = 10): Promise<void> {
  for (let i = 0; i < seconds * 40 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 25));
  expect(condition()).toBe(true);
}

const refused = (code: string, message: string) => async () => {
  throw ApplicationFailure.nonRetryable(message, code);
};

describe('editStream', () => {
  test('prepares once, then takes batches layer by layer until the queue is empty', async () => {
    const recording = recordActivities();
    recording.queue.push(plan(1), plan(2));
    await withStream(recording, async () => {
      await until(() => recording.calls.filter((call) => call === 'nextWork').length === 3);
      const batch = (seq: number) => [
        'nextWork',
        `resolveTargets ${seq}`,
        `applyLayer ${seq} 6`,
        `applyLayer ${seq} 7`,
        `commitBatch ${seq} 1 0.5`,
        `verifyBatch ${seq}`,
        `measureDrift ${seq}`,
        `probeBatch ${seq} 0.5`,
      ];
      expect(recording.calls).toEqual(['requestCovariances', 'prepareStream', ...batch(1), ...batch(2), 'nextWork']);
    });
  });

  test('a wake-up brings an idle stream back to work', async () => {
    const recording = recordActivities();
    await withStream(recording, async (handle) => {
      await until(() => recording.calls.includes('nextWork'));
      recording.queue.push(plan(1));
      await handle.signal(wakeSignal);
      await until(() => recording.head === 1);
    });
  });

  test('a superseded edit is taken out, layer by layer, before the new one is resolved', async () => {
    const recording = recordActivities();
    recording.queue.push(plan(5, 4));
    await withStream(recording, async () => {
      await until(() => recording.head === 5);
      const calls = recording.calls.slice(recording.calls.indexOf('revokeLayer 4 6'));
      expect(calls.slice(0, 4)).toEqual(['revokeLayer 4 6', 'revokeLayer 4 7', 'resolveTargets 5', 'applyLayer 5 6']);
    });
  });

  test('a batch whose edits were all dropped is closed without touching a layer', async () => {
    const recording = recordActivities({ resolveTargets: async () => ({ edits: 0, seconds: 0.1 }) });
    recording.queue.push(plan(1));
    await withStream(recording, async () => {
      await until(() => recording.head === 1);
      expect(recording.calls.some((call) => call.startsWith('applyLayer') || call.startsWith('verifyBatch'))).toBe(
        false,
      );
    });
  });

  test('an activity that fails for a passing reason is run again', async () => {
    let failures = 2;
    const recording: Recording = recordActivities({
      applyLayer: async ({ seq, layer }) => {
        if (layer === 7 && failures-- > 0) throw ApplicationFailure.create({ type: 'NOT_READY', message: 'no worker' });
        recording.calls.push(`applyLayer ${seq} ${layer}`);
        return { keysSeconds: 0, updateSeconds: 0 };
      },
    });
    recording.queue.push(plan(1));
    await withStream(recording, async () => {
      await until(() => recording.head === 1);
      expect(recording.calls.filter((call) => call.startsWith('applyLayer'))).toEqual([
        'applyLayer 1 6',
        'applyLayer 1 7',
      ]);
    });
  });

  test('a batch that cannot succeed stops the stream visibly, and resume tries again', async () => {
    let broken = true;
    const recording: Recording = recordActivities({
      resolveTargets: async () => {
        if (broken) throw ApplicationFailure.nonRetryable('condition 1e9', 'ILL_CONDITIONED');
        return { edits: 2, seconds: 1 };
      },
    });
    recording.queue.push(plan(1));
    await withStream(recording, async (handle) => {
      await until(() => recording.calls.includes('failStream condition 1e9'));
      // The activity has been called, and the workflow is yet to hear of it.
      await expect
        .poll(() => handle.query(stateQuery), { timeout: 30_000 })
        .toMatchObject({ failed: true, phase: 'idle' });
      broken = false;
      await handle.executeUpdate(resumeUpdate);
      await until(() => recording.head === 1);
    });
  });

  test('pause holds new batches, changes of the head still work', async () => {
    const recording = recordActivities();
    await withStream(recording, async (handle) => {
      await until(() => recording.calls.includes('nextWork'));
      await handle.executeUpdate(pauseUpdate);
      recording.queue.push(plan(1));
      await handle.signal(wakeSignal);
      const checkpoint = await handle.executeUpdate(checkpointUpdate, { args: [{ name: 'before' }] });
      expect(checkpoint).toMatchObject({ name: 'before', seq: 0 });
      expect(recording.head).toBe(0);
      await handle.executeUpdate(resumeUpdate);
      await until(() => recording.head === 1);
    });
  });

  test('revoke and rollback answer with the new head, one after the other', async () => {
    const recording = recordActivities();
    await withStream(recording, async (handle) => {
      const [revoked, rolledBack] = await Promise.all([
        handle.executeUpdate(revokeUpdate, { args: [{ editIds: ['edt_1'], reason: null }] }),
        handle.executeUpdate(rollbackUpdate, { args: [{ seq: 0 }] }),
      ]);
      expect(revoked.head).toBe(1);
      expect(rolledBack.head).toBe(0);
      const revoke = [
        'claimRevoke edt_1',
        'revokeLayer 1 6',
        'revokeLayer 1 7',
        'commitBatch 1 0 0.5',
        'measureDrift 1',
      ];
      const calls = recording.calls.filter((call) => revoke.includes(call) || call === 'rollback 0');
      expect([
        [...revoke, 'rollback 0'],
        ['rollback 0', ...revoke],
      ]).toContainEqual(calls);
    });
  });

  test('rollbacks asked for at once while a batch is under way wait for it, and for each other', async () => {
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const recording: Recording = recordActivities({
      applyLayer: async ({ seq, layer }) => {
        recording.calls.push(`applyLayer ${seq} ${layer}`);
        await gate;
        return { keysSeconds: 0.5, updateSeconds: 0.25 };
      },
      rollback: async ({ seq }) => {
        recording.calls.push(`begin ${seq}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
        recording.calls.push(`end ${seq}`);
        return { head: seq, hash: `hash ${seq}`, changed: 0, edits: [] };
      },
    });
    recording.queue.push(plan(1));
    await withStream(recording, async (handle) => {
      await until(() => recording.calls.includes('applyLayer 1 6'));
      const both = Promise.all([0, 1].map((seq) => handle.executeUpdate(rollbackUpdate, { args: [{ seq }] })));
      // A query is answered after the updates that came before it.
      await handle.query(stateQuery);
      expect(recording.calls.filter((call) => call.startsWith('begin'))).toEqual([]);
      open();
      expect((await both).map(({ head }) => head)).toEqual([0, 1]);
      const after = recording.calls.slice(recording.calls.indexOf('commitBatch 1 1 0.5'));
      const moves = after.filter((call) => /^(begin|end)/.test(call));
      expect([
        ['begin 0', 'end 0', 'begin 1', 'end 1'],
        ['begin 1', 'end 1', 'begin 0', 'end 0'],
      ]).toContainEqual(moves);
      expect(after.indexOf('measureDrift 1')).toBeLessThan(after.indexOf(moves[0]));
    });
  });

  test('a refused revoke keeps its error code, gives the batch up and leaves the stream working', async () => {
    const recording: Recording = recordActivities({
      revokeLayer: refused('REVOKE_ILL_CONDITIONED', 'λ_min(T) is 1e-9') as StreamActivities['revokeLayer'],
    });
    await withStream(recording, async (handle) => {
      const failure = await handle
        .executeUpdate(revokeUpdate, { args: [{ editIds: ['edt_1'], reason: null }] })
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(WorkflowUpdateFailedError);
      expect((failure as WorkflowUpdateFailedError).cause).toMatchObject({
        type: 'REVOKE_ILL_CONDITIONED',
        message: 'λ_min(T) is 1e-9',
      });
      expect(recording.calls).toContain('releaseBatch 1');
      recording.queue.push(plan(2));
      await handle.signal(wakeSignal);
      await until(() => recording.head === 2);
    });
  });

  test('hands over to a new run before its history grows large and loses nothing', async () => {
    const recording = recordActivities();
    const batches = 150;
    for (let seq = 1; seq <= batches; seq++) recording.queue.push(plan(seq));
    await withStream(recording, async (handle) => {
      await until(() => recording.head === batches, 90);
      await until(() => recording.calls.at(-1) === 'nextWork');
      const description = await env.client.workflow.getHandle(handle.workflowId).describe();
      expect(description.runId).not.toBe(handle.firstExecutionRunId);
      expect(description.historyLength).toBeLessThan(4500);
      expect(recording.calls.filter((call) => call.startsWith('commitBatch'))).toHaveLength(batches);
      expect(recording.calls.filter((call) => call === 'prepareStream')).toHaveLength(1);
    });
  }, 120_000);
});

test('a failed evaluation is recorded', async () => {
  const recording = recordActivities({
    evaluate: refused('INTERNAL', 'no perplexity') as StreamActivities['evaluate'],
  });
  const taskQueue = `q${streams++}`;
  const worker = await startWorkers({
    connection: env.nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities: recording.activities,
  });
  await worker.runUntil(() =>
    env.client.workflow.execute('evaluateStream', {
      taskQueue,
      workflowId: 'evl',
      args: [{ streamId: 's', evaluationId: 'e' }],
    }),
  );
  expect(recording.calls).toEqual(['failEvaluation no perplexity']);
});
