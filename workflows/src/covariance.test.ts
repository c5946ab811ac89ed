import { ApplicationFailure, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CovarianceActivities, CovarianceArgs, StreamActivities } from './activities.js';
import { covarianceQuery, joinSignal, resumeUpdate, stateQuery } from './definitions.js';
import { recordHistory } from './testing/record-history.js';
import { type Recording, recordActivities } from './testing/recorded-activities.js';
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

const slices = 3;

/** One covariance in memory, the streams that need layers of it, and a worker that may be replaced. */
function setting(overrides: Partial<CovarianceActivities> = {}) {
  const name = `c${tests++}`;
  const covarianceId = `covariance-${name}`;
  const args: CovarianceArgs = { modelId: 'm', source: 'default', tokens: 1000 };
  const calls: string[] = [];
  const counts = new Map<number, number>();
  const stored = new Set<number>();
  const recordings = new Map<string, Recording>();
  const needs = new Map<string, number[]>();
  const activities: CovarianceActivities & Pick<StreamActivities, 'requestCovariances'> = {
    async requestCovariances({ streamId }) {
      const missing = (needs.get(streamId) ?? []).filter((layer) => !stored.has(layer));
      if (missing.length > 0)
        await temporal.env.client.workflow.signalWithStart('covariance', {
          workflowId: covarianceId,
          taskQueue: name,
          args: [args],
          signal: joinSignal,
          signalArgs: [{ streamId, layers: missing }],
        });
      return { missing: missing.length };
    },
    async planCovariance(given) {
      calls.push('plan');
      return { ...given, askedTokens: given.tokens, corpusId: 'text', slices, dimension: 4 };
    },
    async addCovarianceSlice({ layers, streamIds }) {
      const next = Math.min(...layers.map((layer) => counts.get(layer) ?? 0));
      calls.push(`slice ${next} of ${layers.join()} for ${streamIds.length}`);
      for (const layer of layers) if ((counts.get(layer) ?? 0) === next) counts.set(layer, next + 1);
      return { slices: next + 1 };
    },
    async finishCovariances({ layers }) {
      calls.push(`finish ${layers.join()}`);
      for (const layer of layers) stored.add(layer);
    },
    ...overrides,
  };
  const record = (streamId: string): Recording => {
    const known = recordings.get(streamId) ?? recordActivities();
    recordings.set(streamId, known);
    return known;
  };
  const perStream = Object.fromEntries(
    Object.keys(recordActivities().activities).map((activity) => [
      activity,
      // biome-ignore lint/suspicious/noExplicitAny: hands any activity on to the stream it names
      (input: any) => (record(input.streamId).activities as any)[activity](input),
    ]),
  );
  const worker = (options: { maxCachedWorkflows?: number } = {}) =>
    startWorkers({
      connection: temporal.env.nativeConnection,
      taskQueue: name,
      workflowBundle: temporal.bundle,
      activities: { ...perStream, ...activities },
      ...options,
    });
  const run = () => temporal.env.client.workflow.getHandle(covarianceId);
  const started: string[] = [];
  return {
    calls,
    stored,
    worker,
    run,
    record,
    async stream(streamName: string, layers: number[]) {
      const streamId = `${name}-${streamName}`;
      needs.set(streamId, layers);
      started.push(streamId);
      return temporal.env.client.workflow.start('editStream', {
        taskQueue: name,
        workflowId: streamId,
        args: [{ streamId }],
      });
    },
    prepared: (streamName: string) => record(`${name}-${streamName}`).calls.includes('prepareStream'),
    told: (streamName: string) => record(`${name}-${streamName}`).calls,
    async end() {
      for (const streamId of started)
        await temporal.env.client.workflow
          .getHandle(streamId)
          .terminate('over')
          .catch((error: unknown) => {
            // One without work ends by itself.
            if (!(error instanceof WorkflowNotFoundError)) throw error;
          });
    },
  };
}

async function until(condition: () => boolean | Promise<boolean>, seconds = 15): Promise<void> {
  // A query that the busy server did not get to is asked again; what fails for good fails at the end.
  const holds = async () => condition();
  for (let i = 0; i < seconds * 40 && !(await holds().catch(() => false)); i++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  expect(await condition()).toBe(true);
}

/** Something that is waited for until it is opened. */
function gate(): { open: () => void; opened: Promise<void> } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test('streams that need the same covariance share one run; other layers follow in a pass of their own', async () => {
  const held = gate();
  const at = setting({
    async planCovariance(given) {
      at.calls.push('plan');
      await held.opened;
      return { ...given, askedTokens: given.tokens, corpusId: 'text', slices, dimension: 4 };
    },
  });
  await (await at.worker()).runUntil(async () => {
    await at.stream('a', [6, 7]);
    await until(() => at.calls.includes('plan'));
    await at.stream('b', [7]);
    await at.stream('c', [7, 8]);
    await until(async () => (await at.run().query(covarianceQuery)).streams.length === 3);
    expect(at.prepared('a') || at.prepared('b') || at.prepared('c')).toBe(false);
    held.open();
    await until(() => at.prepared('a') && at.prepared('b') && at.prepared('c'));
    await at.run().result();
    await recordHistory(temporal.env, at.run(), 'covariance shared by three streams');
    await at.end();
  });
  const pass = (layers: string, streams: number) => [
    'plan',
    ...Array.from({ length: slices }, (_, i) => `slice ${i} of ${layers} for ${streams}`),
    `finish ${layers}`,
  ];
  expect(at.calls).toEqual([...pass('6,7', 3), ...pass('8', 1)]);
});

test('a run goes on at the slice where the runtime was lost', async () => {
  let attempts = 0;
  const at = setting({
    async addCovarianceSlice({ layers }) {
      const next = at.calls.filter((call) => call.startsWith('added')).length;
      if (next === 1 && attempts++ < 2)
        throw ApplicationFailure.create({ type: 'NOT_READY', message: 'the model runtime is gone' });
      at.calls.push(`added ${next} of ${layers.join()}`);
      return { slices: next + 1 };
    },
  });
  // Without a cache every task begins from the history, as in a worker that has just been started.
  await (await at.worker({ maxCachedWorkflows: 0 })).runUntil(async () => {
    await at.stream('a', [3]);
    await until(() => at.prepared('a'));
    await at.end();
  });
  expect(attempts).toBe(3);
  expect(at.calls).toEqual(['plan', 'added 0 of 3', 'added 1 of 3', 'added 2 of 3', 'finish 3']);
});

test('a failure that is final stops every stream that waits, by its message, and resume begins again', async () => {
  let broken = true;
  const at = setting({
    async planCovariance(given) {
      if (broken) throw ApplicationFailure.nonRetryable('the text holds 7 tokens', 'INVALID_REQUEST');
      return { ...given, askedTokens: given.tokens, corpusId: 'text', slices, dimension: 4 };
    },
  });
  await (await at.worker()).runUntil(async () => {
    const stream = await at.stream('a', [3]);
    await until(() => at.told('a').includes('failStream the text holds 7 tokens'));
    await recordHistory(temporal.env, at.run(), 'covariance that fails');
    expect(at.prepared('a')).toBe(false);
    expect(await stream.query(stateQuery)).toMatchObject({ failed: true });
    const failure = await at
      .run()
      .result()
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WorkflowFailedError);
    expect((failure as WorkflowFailedError).cause).toMatchObject({ type: 'INVALID_REQUEST' });
    broken = false;
    await stream.executeUpdate(resumeUpdate);
    await until(() => at.prepared('a'));
    await recordHistory(temporal.env, stream, 'a stream whose covariance fails first');
    await at.end();
  });
});

test('a cancelled run tells who waits; a stream that is gone does not stop it', async () => {
  const held = gate();
  const at = setting({
    async planCovariance(given) {
      at.calls.push('plan');
      await held.opened;
      return { ...given, askedTokens: given.tokens, corpusId: 'text', slices, dimension: 4 };
    },
  });
  await (await at.worker()).runUntil(async () => {
    const gone = await at.stream('gone', [3]);
    await until(() => at.calls.includes('plan'));
    await at.stream('a', [3]);
    await until(async () => (await at.run().query(covarianceQuery)).streams.length === 2);
    await gone.terminate('gone');
    await at.run().cancel();
    await until(() => at.told('a').some((call) => call.startsWith('failStream the covariance was cancelled')));
    held.open();
    await at
      .run()
      .result()
      .catch(() => undefined);
    expect((await at.run().describe()).status.name).toBe('CANCELLED');
    await at.end().catch(() => undefined);
  });
});
