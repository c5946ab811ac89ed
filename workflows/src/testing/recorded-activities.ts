import type { BatchPlan, StreamActivities, WorkPlan } from '../activities.js';

/** What a test sees of the activities that were run. */
export interface Recording {
  readonly activities: StreamActivities;
  readonly calls: string[];
  readonly queue: BatchPlan[];
  head: number;
  /** What there is to do at a time; the queue alone unless a test says otherwise. */
  work: (at: string, held: boolean) => WorkPlan;
}

/**
 * Activities that keep a queue and a head in memory and write down their calls: the workflow is what is tested with
 * them. `overrides` replaces single ones.
 */
export function recordActivities(overrides: Partial<StreamActivities> = {}): Recording {
  const calls: string[] = [];
  const queue: BatchPlan[] = [];
  const recording: Recording = {
    calls,
    queue,
    head: 0,
    work: (_, held) => ({ batch: held ? null : (queue[0] ?? null), finishing: null, nextExpiry: null }),
    activities: {
      requestCovariances: async () => {
        note('requestCovariances');
        return { missing: 0 };
      },
      prepareStream: async () => note('prepareStream'),
      failStream: async ({ detail }) => note(`failStream ${detail}`),
      nextWork: async ({ at, held }) => {
        note(held ? 'nextWork held' : 'nextWork');
        return recording.work(at, held);
      },
      finishRevocation: async ({ revocationId, verify }) => {
        note(`finishRevocation ${revocationId}${verify ? ' verified' : ''}`);
      },
      failRevocation: async ({ revocationId, code, message }) => {
        note(`failRevocation ${revocationId} ${code} ${message}`);
        return { cause: 'request' };
      },
      claimBatch: async () => {
        note('claimBatch');
        return queue[0] ?? null;
      },
      claimRevoke: async ({ editIds }) => {
        note(`claimRevoke ${editIds.join(',')}`);
        return { seq: recording.head + 1, kind: 'revoke', edits: editIds.length, layers: [6, 7], supersedes: null };
      },
      releaseBatch: async ({ seq }) => note(`releaseBatch ${seq}`),
      resolveTargets: async ({ seq }) => {
        note(`resolveTargets ${seq}`);
        return { edits: queue.find((plan) => plan.seq === seq)?.edits ?? 0, seconds: 1 };
      },
      applyLayer: async ({ seq, layer }) => {
        note(`applyLayer ${seq} ${layer}`);
        return { keysSeconds: 0.5, updateSeconds: 0.25 };
      },
      revokeLayer: async ({ seq, layer }) => {
        note(`revokeLayer ${seq} ${layer}`);
        return { updateSeconds: 0.25 };
      },
      commitBatch: async ({ seq, seconds }) => {
        note(`commitBatch ${seq} ${seconds.keys} ${seconds.update}`);
        if (queue[0]?.seq === seq) queue.shift();
        recording.head = seq;
        return { head: seq, hash: `hash ${seq}`, changed: 0, edits: [] };
      },
      verifyBatch: async ({ seq }) => {
        note(`verifyBatch ${seq}`);
        return { verified: 1 };
      },
      measureDrift: async ({ seq }) => {
        note(`measureDrift ${seq}`);
        return { seconds: 0.5 };
      },
      probeBatch: async ({ seq, driftSeconds }) => {
        note(`probeBatch ${seq} ${driftSeconds}`);
        return { readings: [] };
      },
      findGood: async ({ seq, budgets }) => {
        note(`findGood ${seq} ${budgets.join(',')}`);
        return { seq: seq - 1 };
      },
      carryOutGuard: async ({ seq, action, trips, to, pause }) => {
        const why = trips.map(({ budget }) => budget).join(',');
        note(`carryOutGuard ${seq} ${action} ${why} to ${to}${pause ? ' paused' : ''}`);
        if (to !== null) recording.head = to;
        return { head: recording.head, delivery: null };
      },
      rollback: async ({ seq }) => {
        note(`rollback ${seq}`);
        recording.head = seq;
        return { head: seq, hash: `hash ${seq}`, changed: 0, edits: [] };
      },
      createCheckpoint: async ({ streamId, name }) => {
        note(`createCheckpoint ${name}`);
        return {
          streamId,
          name,
          seq: recording.head,
          hash: `hash ${recording.head}`,
          createdAt: '2026-01-01T00:00:00Z',
        };
      },
      setPaused: async ({ paused }) => note(`setPaused ${paused}`),
      evaluate: async ({ evaluationId }) => note(`evaluate ${evaluationId}`),
      failEvaluation: async ({ detail }) => note(`failEvaluation ${detail}`),
      ...overrides,
    },
  };
  function note(call: string): void {
    calls.push(call);
  }
  return recording;
}

/** A batch of two edits on two layers. */
export function plan(seq: number, supersedes: number | null = null): BatchPlan {
  return { seq, kind: 'apply', edits: 2, layers: [6, 7], supersedes };
}
