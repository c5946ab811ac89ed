import { ApplicationFailure } from '@temporalio/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { pauseUpdate, resumeUpdate, rollbackUpdate, stateQuery, wakeSignal } from './definitions.js';
import { count, type Ledger, setting, until, withStream } from './testing/ledger.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';

// Time is skipped only while no workflow of the server is at work, so every test has a server of its own.
let temporal: TestTemporal;

vi.setConfig({ testTimeout: 240_000 });

beforeEach(async () => {
  temporal = await startTestTemporal();
});
afterEach(async () => {
  await temporal?.env.teardown();
});

const day = 24 * 3_600_000;
const now = () => temporal.env.currentTimeMs();

test('edits expire together, once, at their time, across the loss of a worker', async () => {
  const ledger = setting();
  await withStream(temporal, ledger, async (handle, worker) => {
    const at = (await now()) + day;
    for (const edit of ['a', 'b']) ledger.expiring.set(edit, at);
    ledger.expiring.set('c', at + day);
    await (await worker()).runUntil(() => until(() => ledger.recording.calls.at(-1) === 'nextWork'));
    expect(ledger.expired).toEqual([]);
    await (await worker()).runUntil(async () => {
      await temporal.env.sleep(day + 1000);
      await until(() => ledger.expired.length === 1 && ledger.finishing === null);
      // One that was taken out otherwise is left alone.
      ledger.expiring.set('d', at + day);
      ledger.expiring.delete('c');
      await handle.signal(wakeSignal);
      await temporal.env.sleep(day);
      await until(() => ledger.expired.length === 2 && ledger.finishing === null);
    });
  });
  expect(ledger.expired).toEqual([['a', 'b'], ['d']]);
  expect(count(ledger, 'finishRevocation rev_expiry')).toBe(2);
});

test('edits expire once across the hand-over to a new run, which sets the timer anew', async () => {
  const ledger = setting();
  const body: Parameters<typeof withStream>[2] = async (handle, worker) => {
    const latest = () => temporal.env.client.workflow.getHandle(handle.workflowId).describe();
    const looks = () => count(ledger, 'nextWork');
    const at = (await now()) + day;
    ledger.expiring.set('a', at);
    ledger.expiring.set('b', at + day);
    await (await worker()).runUntil(() => until(() => looks() === 1));
    const { runId } = await latest();
    await (await worker()).runUntil(async () => {
      for (let woken = 2; woken < 5; woken++) {
        await handle.signal(wakeSignal);
        await until(() => looks() >= woken);
      }
      await expect.poll(async () => (await latest()).runId, { timeout: 100_000 }).not.toBe(runId);
      expect(ledger.expired).toEqual([]);
      await temporal.env.sleep(day + 1000);
      await until(() => ledger.expired.length === 1 && ledger.finishing === null);
      await temporal.env.sleep(day);
      await until(() => ledger.expired.length === 2 && ledger.finishing === null);
      await temporal.env.sleep(day);
    });
  };
  await withStream(temporal, ledger, body, { handOverAfter: 25 });
  expect(ledger.expired).toEqual([['a'], ['b']]);
  expect(count(ledger, 'finishRevocation rev_expiry')).toBe(2);
  expect(count(ledger, 'prepareStream')).toBe(1);
});

test('a paused stream lets its edits expire when it is resumed', async () => {
  const ledger = setting();
  await withStream(temporal, ledger, async (handle, worker) => {
    ledger.expiring.set('a', (await now()) + day);
    await (await worker()).runUntil(async () => {
      await until(() => ledger.recording.calls.includes('nextWork'));
      await handle.executeUpdate(pauseUpdate);
      await temporal.env.sleep(2 * day);
      expect(ledger.expired).toEqual([]);
      await handle.executeUpdate(resumeUpdate);
      await until(() => ledger.expired.length === 1);
    });
  });
  expect(ledger.expired).toEqual([['a']]);
});

test('an expired edit that a rollback brings back is taken out again at once', async () => {
  const ledger = setting();
  await withStream(temporal, ledger, async (handle, worker) => {
    const at = (await now()) + day;
    ledger.expiring.set('a', at);
    await (await worker()).runUntil(async () => {
      await until(() => ledger.recording.calls.includes('nextWork'));
      await temporal.env.sleep(2 * day);
      await until(() => ledger.expired.length === 1 && ledger.finishing === null);
      ledger.expiring.set('a', at);
      await handle.executeUpdate(rollbackUpdate, { args: [{ seq: 0 }] });
      await until(() => ledger.expired.length === 2 && ledger.finishing === null);
    });
  });
  expect(ledger.expired).toEqual([['a'], ['a']]);
});

test('an expiry that cannot be carried out stops the stream, and resume tries again', async () => {
  let broken = true;
  const ledger: Ledger = setting({
    revokeLayer: async ({ seq, layer }) => {
      if (broken) throw ApplicationFailure.nonRetryable('too near', 'REVOKE_ILL_CONDITIONED');
      ledger.recording.calls.push(`revokeLayer ${seq} ${layer}`);
      return { updateSeconds: 0 };
    },
  });
  await withStream(temporal, ledger, async (handle, worker) => {
    ledger.expiring.set('a', (await now()) - 1);
    await (await worker()).runUntil(async () => {
      await until(() => ledger.recording.calls.includes('failStream too near'));
      expect(await handle.query(stateQuery)).toMatchObject({ failed: true });
      broken = false;
      await handle.executeUpdate(resumeUpdate);
      await until(() => ledger.expired.length === 1);
    });
  });
  expect(count(ledger, 'failRevocation rev_expiry REVOKE_ILL_CONDITIONED too near')).toBe(1);
});
