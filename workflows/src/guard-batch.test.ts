import type { GuardReading } from '@errata/contracts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { resumeUpdate, stateQuery } from './definitions.js';
import { revokeBatch, setting, until, withStream } from './testing/ledger.js';
import { plan } from './testing/recorded-activities.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';

let temporal: TestTemporal;

vi.setConfig({ testTimeout: 240_000 });

beforeAll(async () => {
  temporal = await startTestTemporal();
});
afterAll(async () => {
  await temporal?.env.teardown();
});

const over = (action: GuardReading['action'], seq: number): GuardReading => ({
  budget: 'divergence',
  side: 'above',
  value: 2,
  limit: 0.25,
  action,
  seq,
});

test('a batch that exceeds a budget is rolled back, somebody is told, and the stream goes on', async () => {
  const told: string[] = [];
  const ledger = setting({
    probeBatch: async ({ seq }) => ({ readings: seq === 2 ? [over('rollback', seq)] : [] }),
    carryOutGuard: async ({ seq, action, to, pause }) => {
      ledger.recording.calls.push(`carryOutGuard ${seq} ${action} to ${to} ${pause}`);
      return { head: to ?? seq, delivery: 'whd_1' };
    },
  });
  const { recording } = ledger;
  recording.work = (_, held) => ({
    batch: held ? null : (recording.queue[0] ?? null),
    finishing: null,
    nextExpiry: null,
  });
  recording.activities.commitBatch = async ({ seq }) => {
    recording.queue.shift();
    recording.calls.push(`commitBatch ${seq}`);
    return { head: seq, hash: '', changed: 0, edits: [] };
  };
  const activities = recording.activities as unknown as Record<string, unknown>;
  activities.sendWebhook = async ({ deliveryId }: { deliveryId: string }) => void told.push(deliveryId);
  recording.queue.push(plan(1), plan(2), plan(3));
  await withStream(temporal, ledger, async (handle, worker) => {
    await (await worker()).runUntil(async () => {
      await until(() => told.length > 0 && recording.calls.includes('commitBatch 3'));
      expect(await handle.query(stateQuery)).toMatchObject({ paused: false, failed: false });
    });
  });
  const after = recording.calls.slice(recording.calls.indexOf('commitBatch 2'));
  expect(after.slice(0, 5)).toEqual([
    'commitBatch 2',
    'verifyBatch 2',
    'measureDrift 2',
    'findGood 2 divergence',
    'carryOutGuard 2 rollback to 1 false',
  ]);
  expect(told).toEqual(['whd_1']);
});

test('a revocation that exceeds a budget pauses the stream until it is resumed', async () => {
  const ledger = setting({ probeBatch: async ({ seq }) => ({ readings: [over('rollback', seq)] }) });
  ledger.open = [revokeBatch(1)];
  const { calls } = ledger.recording;
  await withStream(temporal, ledger, async (handle, worker) => {
    await (await worker()).runUntil(async () => {
      await until(() => calls.some((call) => call.startsWith('carryOutGuard')) && calls.at(-1) === 'nextWork held');
      expect(await handle.query(stateQuery)).toMatchObject({ paused: true });
      await handle.executeUpdate(resumeUpdate);
      await until(() => calls.at(-1) === 'nextWork');
    });
  });
  expect(calls).toContain('carryOutGuard 1 pause divergence to null paused');
  expect(calls.some((call) => call.startsWith('findGood'))).toBe(false);
});
