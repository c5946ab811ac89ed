import { ApplicationFailure } from '@temporalio/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { pauseUpdate, stateQuery, wakeSignal } from './definitions.js';
import { count, revokeBatch, setting, until, withStream } from './testing/ledger.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';

let temporal: TestTemporal;

vi.setConfig({ testTimeout: 240_000 });

beforeAll(async () => {
  temporal = await startTestTemporal();
});
afterAll(async () => {
  await temporal?.env.teardown();
});

test('a revocation goes batch by batch to its end, also while the stream is paused', async () => {
  const ledger = setting();
  await withStream(temporal, ledger, async (handle, worker) => {
    await (await worker()).runUntil(async () => {
      await until(() => ledger.recording.calls.includes('nextWork'));
      await handle.executeUpdate(pauseUpdate);
      ledger.open = [revokeBatch(1), revokeBatch(2)];
      ledger.finishing = { revocationId: 'rev_1', verify: true };
      await handle.signal(wakeSignal);
      await until(() => ledger.finishing === null);
    });
  });
  const batch = (seq: number) => [
    'nextWork held',
    `revokeLayer ${seq} 6`,
    `revokeLayer ${seq} 7`,
    `commitBatch ${seq}`,
    `measureDrift ${seq}`,
    `probeBatch ${seq} 0.5`,
  ];
  const from = ledger.recording.calls.indexOf('revokeLayer 1 6') - 1;
  expect(ledger.recording.calls.slice(from, from + 14)).toEqual([
    ...batch(1),
    ...batch(2),
    'nextWork held',
    'finishRevocation rev_1 verified',
  ]);
});

test('a worker that is lost between two batches of a revocation is followed by another', async () => {
  const ledger = setting();
  ledger.open = [revokeBatch(1), revokeBatch(2), revokeBatch(3)];
  ledger.finishing = { revocationId: 'rev_1', verify: false };
  await withStream(temporal, ledger, async (_, worker) => {
    await (await worker()).runUntil(() => until(() => count(ledger, 'commitBatch 1') === 1));
    await (await worker()).runUntil(() => until(() => ledger.finishing === null));
  });
  for (const seq of [1, 2, 3]) expect(count(ledger, `commitBatch ${seq}`)).toBe(1);
  expect(count(ledger, 'finishRevocation rev_1')).toBe(1);
});

test('a revocation that cannot go on ends by its code, and the stream works on', async () => {
  const ledger = setting({
    revokeLayer: async () => {
      throw ApplicationFailure.nonRetryable('λ_min(T) is 1e-9', 'REVOKE_ILL_CONDITIONED');
    },
  });
  ledger.open = [revokeBatch(1)];
  await withStream(temporal, ledger, async (handle, worker) => {
    await (await worker()).runUntil(async () => {
      await until(() => ledger.open.length === 0);
      await until(() => ledger.recording.calls.at(-1) === 'nextWork');
      expect(await handle.query(stateQuery)).toMatchObject({ failed: false });
    });
  });
  expect(ledger.recording.calls).toContain('failRevocation rev_1 REVOKE_ILL_CONDITIONED λ_min(T) is 1e-9');
});
