import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ExportActivities } from './export-activities.js';
import { recordHistory } from './testing/record-history.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';
import { startWorkers } from './testing/workers.js';

let temporal: TestTemporal;
let tests = 0;

beforeAll(async () => {
  temporal = await startTestTemporal();
});
afterAll(async () => {
  await temporal?.env.teardown();
});

/** Runs a workflow on activities that write down what is asked of them. */
async function run(
  workflow: 'exportStream' | 'publishStream',
  overrides: Partial<ExportActivities> = {},
  previous: string | null = 'before',
) {
  const taskQueue = `exports-${tests++}`;
  const calls: string[] = [];
  const note = (name: string) => async () => void calls.push(name);
  const activities: ExportActivities = {
    runExport: note('export'),
    endExport: async ({ status }) => void calls.push(`end export ${status}`),
    beginPublication: async () => ({ exportId: 'exp_1', version: 4, previous }),
    loadAdapter: note('load'),
    verifyAdapter: note('verify'),
    moveAlias: async ({ version }) => void calls.push(`move from ${version}`),
    unloadPrevious: async ({ loraName }) => void calls.push(`unload ${loraName}`),
    fallBack: note('fall back'),
    endPublication: async ({ status, detail }) => void calls.push(`end ${status}: ${detail}`),
    ...overrides,
  };
  const worker = await startWorkers({
    connection: temporal.env.nativeConnection,
    workflowBundle: temporal.bundle,
    taskQueue,
    activities,
  });
  const args = workflow === 'exportStream' ? { exportId: 'exp_1' } : { publicationId: 'pub_1' };
  const result = await worker.runUntil(async () => {
    const handle = await temporal.env.client.workflow.start(workflow, {
      taskQueue,
      workflowId: taskQueue,
      args: [args],
    });
    const outcome = await handle.result().then(
      () => 'completed',
      (error: unknown) => (error instanceof WorkflowFailedError ? String(error.cause) : String(error)),
    );
    await recordHistory(temporal.env, handle, `${workflow} ${expect.getState().currentTestName}`);
    return outcome;
  });
  return { calls, result };
}

const refused = (code: string, message: string) => async () => {
  throw ApplicationFailure.create({ type: code, message, nonRetryable: true });
};

test('an export is written', async () => {
  expect(await run('exportStream')).toEqual({ calls: ['export'], result: 'completed' });
});

test('an export that cannot be written says why, and leaves nothing', async () => {
  const { calls, result } = await run('exportStream', { runExport: refused('DISK_FULL', 'the disk is full') });
  expect([calls, result]).toEqual([['end export failed'], 'completed']);
});

test('a publication exports, loads, verifies, moves the alias and unloads what was before', async () => {
  const { calls } = await run('publishStream');
  expect(calls).toEqual(['export', 'load', 'verify', 'move from 4', 'unload before', 'end done: null']);
});

test('the first publication has nothing to unload', async () => {
  const { calls } = await run('publishStream', {}, null);
  expect(calls).toEqual(['export', 'load', 'verify', 'move from 4', 'end done: null']);
});

test.each([
  ['loadAdapter', ['export']],
  ['verifyAdapter', ['export', 'load']],
  ['moveAlias', ['export', 'load', 'verify']],
] as const)('falls back when %s fails', async (step, before) => {
  const { calls, result } = await run('publishStream', { [step]: refused('PUBLISH_REFUSED', 'no') });
  expect(calls).toEqual([...before, 'fall back', 'end export failed', 'end failed: no']);
  expect(result).toBe('completed');
});

test('a server that cannot be reached for the fall-back is said, and the publication ends', async () => {
  const { calls } = await run('publishStream', {
    verifyAdapter: refused('PUBLISH_UNVERIFIED', 'wrong answers'),
    fallBack: refused('NOT_READY', 'away'),
  });
  expect(calls.at(-1)).toBe('end failed: wrong answers; the adapter could not be unloaded: away');
});

test('an adapter that stays loaded beside the new one is no failure', async () => {
  const { calls } = await run('publishStream', { unloadPrevious: refused('PUBLISH_REFUSED', 'busy') });
  expect(calls.at(-1)).toBe('end done: before could not be unloaded: busy');
});
