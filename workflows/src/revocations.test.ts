import { ApplicationFailure } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { BatchPlan, StreamActivities, WorkPlan } from './activities.js';
import { pauseUpdate, resumeUpdate, rollbackUpdate, stateQuery, wakeSignal } from './definitions.js';
import type { EditStreamArgs } from './edit-stream.js';
import { recordHistory } from './testing/record-history.js';
import { type Recording, recordActivities } from './testing/recorded-activities.js';
import { startTestTemporal, type TestTemporal } from './testing/temporal.js';

let temporal: TestTemporal;
let streams = 0;

vi.setConfig({ testTimeout: 240_000 });

beforeAll(async () => {
  temporal = await startTestTemporal();
});
afterAll(async () => {
  await temporal?.env.teardown();
});

const nothing: WorkPlan = { batch: null, finishing: null, nextExpiry: null };
const day = 24 * 3_600_000;

function revokeBatch(seq: number, revocationId = 'rev_1'): BatchPlan {
  return { seq, kind: 'revoke', edits: 256, layers: [6, 7], supersedes: null, revocationId };
}

/** What is there to do, as the store would say it: edits in the weights with their expiry, and batches of revocations. */
class Ledger {
  /** Batches of the revocation that is open, first to last. */
  open: BatchPlan[] = [];
  finishing: WorkPlan['finishing'] = null;
  /** Edits in the weights by the time that they expire. */
  readonly expiring = new Map<string, number>();
  readonly expired: string[][] = [];
  private seq = 100;

  constructor(readonly recording: Recording) {
    recording.work = (at, held) => this.next(at, held);
  }

  /** Takes the expired edits out when their batch is committed: until then every look yields the same batch. */
  commit(seq: number): void {
    if (this.open[0]?.seq !== seq) return;
    const [done] = this.open.splice(0, 1);
    if (done.revocationId !== 'rev_expiry') return;
    const due = [...this.expiring].filter(([, at]) => at <= this.looked).map(([edit]) => edit);
    for (const edit of due) this.expiring.delete(edit);
    this.expired.push(due);
    this.finishing = { revocationId: 'rev_expiry', verify: false };
  }

  private looked = 0;

  private next(at: string, held: boolean): WorkPlan {
    const now = Date.parse(at);
    if (this.open.length > 0 && (!held || this.open[0].revocationId !== 'rev_expiry'))
      return { ...nothing, batch: this.open[0] };
    if (this.finishing) return { ...nothing, finishing: this.finishing };
    const next = Math.min(...[...this.expiring.values()].filter((time) => time > now));
    const nextExpiry = Number.isFinite(next) ? new Date(next).toISOString() : null;
    const due = [...this.expiring.values()].filter((time) => time <= now);
    if (held || due.length === 0) return { ...nothing, nextExpiry };
    this.looked = now;
    const batch = { ...revokeBatch(this.seq++, 'rev_expiry'), edits: due.length };
    this.open = [batch];
    return { batch, finishing: null, nextExpiry };
  }
}

function setting(overrides: Partial<StreamActivities> = {}): Ledger {
  const ledger: Ledger = new Ledger(
    recordActivities({
      commitBatch: async ({ seq }) => {
        ledger.recording.calls.push(`commitBatch ${seq}`);
        ledger.commit(seq);
        return { head: seq, hash: '', changed: 0, edits: [] };
      },
      finishRevocation: async ({ revocationId, verify }) => {
        ledger.recording.calls.push(`finishRevocation ${revocationId}${verify ? ' verified' : ''}`);
        ledger.finishing = null;
      },
      failRevocation: async ({ revocationId, code, message }) => {
        ledger.recording.calls.push(`failRevocation ${revocationId} ${code} ${message}`);
        ledger.open = [];
        return { cause: revocationId === 'rev_expiry' ? 'expiry' : 'request' };
      },
      ...overrides,
    }),
  );
  return ledger;
}

type Handle = Awaited<ReturnType<typeof start>>;

function start(taskQueue: string, streamId: string, args: Partial<EditStreamArgs> = {}) {
  return temporal.env.client.workflow.start<(args: EditStreamArgs) => Promise<void>>('editStream', {
    taskQueue,
    workflowId: streamId,
    args: [{ streamId, ...args }],
  });
}

async function withStream(
  ledger: Ledger,
  body: (handle: Handle, worker: () => Promise<Worker>) => Promise<void>,
): Promise<void> {
  const taskQueue = `r${streams++}`;
  // Without a cache every task begins from the history, and none waits for a worker that is gone.
  const worker = () =>
    Worker.create({
      maxCachedWorkflows: 0,
      connection: temporal.env.nativeConnection,
      taskQueue,
      workflowBundle: temporal.bundle,
      activities: { ...ledger.recording.activities },
    });
  const handle = await start(taskQueue, `str_${taskQueue}`);
  try {
    await body(handle, worker);
    const name = expect.getState().currentTestName ?? '';
    await recordHistory(temporal.env, { workflowId: handle.workflowId, runId: handle.firstExecutionRunId }, name);
  } finally {
    await handle.terminate('the test is over');
  }
}

async function until(condition: () => boolean, seconds = 100): Promise<void> {
  for (let i = 0; i < seconds * 40 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 25));
  expect(condition()).toBe(true);
}

const count = ({ recording }: Ledger, call: string) => recording.calls.filter((made) => made === call).length;
const now = () => temporal.env.currentTimeMs();

test('a revocation goes batch by batch to its end, also while the stream is paused', async () => {
  const ledger = setting();
  await withStream(ledger, async (handle, worker) => {
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
  ];
  const from = ledger.recording.calls.indexOf('revokeLayer 1 6') - 1;
  expect(ledger.recording.calls.slice(from, from + 12)).toEqual([
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
  await withStream(ledger, async (_, worker) => {
    await (await worker()).runUntil(until(() => count(ledger, 'commitBatch 1') === 1));
    await (await worker()).runUntil(until(() => ledger.finishing === null));
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
  await withStream(ledger, async (handle, worker) => {
    await (await worker()).runUntil(async () => {
      await until(() => ledger.open.length === 0);
      await until(() => ledger.recording.calls.at(-1) === 'nextWork');
      expect(await handle.query(stateQuery)).toMatchObject({ failed: false });
    });
  });
  expect(ledger.recording.calls).toContain('failRevocation rev_1 REVOKE_ILL_CONDITIONED λ_min(T) is 1e-9');
});

test('an expired edit that a rollback brings back is taken out again at once', async () => {
  const ledger = setting();
  await withStream(ledger, async (handle, worker) => {
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
  await withStream(ledger, async (handle, worker) => {
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
