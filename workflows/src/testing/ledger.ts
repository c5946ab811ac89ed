import { expect } from 'vitest';
import type { BatchPlan, StreamActivities, WorkPlan } from '../activities.js';
import type { EditStreamArgs } from '../edit-stream.js';
import { recordHistory } from './record-history.js';
import { type Recording, recordActivities } from './recorded-activities.js';
import type { TestTemporal } from './temporal.js';
import { startWorkers, type Workers } from './workers.js';

const nothing: WorkPlan = { batch: null, finishing: null, nextExpiry: null };
export function revokeBatch(seq: number, revocationId = 'rev_1'): BatchPlan {
  return { seq, kind: 'revoke', edits: 256, layers: [6, 7], supersedes: null, revocationId };
}

/** What is there to do, as the store would say it: edits in the weights with their expiry, and batches of revocations. */
export class Ledger {
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

export function setting(overrides: Partial<StreamActivities> = {}): Ledger {
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

let streams = 0;

function start({ env }: TestTemporal, taskQueue: string, args: Partial<EditStreamArgs>) {
  return env.client.workflow.start<(args: EditStreamArgs) => Promise<void>>('editStream', {
    taskQueue,
    workflowId: `str_${taskQueue}`,
    args: [{ streamId: `str_${taskQueue}`, ...args }],
  });
}

/** Runs a stream on the ledger's activities, and records its history. `worker` makes the worker that carries it, or its next. */
export async function withStream(
  temporal: TestTemporal,
  ledger: Ledger,
  body: (handle: Handle, worker: () => Promise<Workers>) => Promise<void>,
  args: Partial<EditStreamArgs> = {},
): Promise<void> {
  const taskQueue = `r${streams++}`;
  // Without a cache every task begins from the history, and none waits for a worker that is gone.
  const worker = () =>
    startWorkers({
      maxCachedWorkflows: 0,
      connection: temporal.env.nativeConnection,
      taskQueue,
      workflowBundle: temporal.bundle,
      activities: ledger.recording.activities,
    });
  const handle = await start(temporal, taskQueue, args);
  try {
    await body(handle, worker);
    const name = expect.getState().currentTestName ?? '';
    await recordHistory(temporal.env, { workflowId: handle.workflowId, runId: handle.firstExecutionRunId }, name);
  } finally {
    await handle.terminate('the test is over');
  }
}

export async function until(condition: () => boolean, seconds = 100): Promise<void> {
  for (let i = 0; i < seconds * 40 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 25));
  expect(condition()).toBe(true);
}

export const count = ({ recording }: Ledger, call: string) => recording.calls.filter((made) => made === call).length;
