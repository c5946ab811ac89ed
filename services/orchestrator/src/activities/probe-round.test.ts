import { ErrataError, type LayerDrift, type Stream } from '@errata/contracts';
import type { ScoreRequest } from '@errata/rpc';
import { createStore, type Store } from '@errata/store';
import { startTestDatabase, type TestDatabase } from '@errata/store/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { matrix, newStream, type Setting, settingOn } from '../testing/setting.js';
import type { Dependencies } from './context.js';
import { findGood, probeBatch } from './probe-round.js';

let database: TestDatabase;
let store: Store;
let setting: Setting;
const { signal } = new AbortController();

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  setting = settingOn(store);
});
afterAll(async () => {
  setting.fleet.close();
  await store.close();
  await database.stop();
});

/** What the runtime was asked, by position. */
const asked: { what: 'score' | 'divergence'; seq: number; prompts: string[] }[] = [];
/** Positions from which on the model diverges, and prompts that are answered wrong. */
const world = { harmFrom: Number.POSITIVE_INFINITY, wrong: new Set<string>(), refused: new Set<string>() };
beforeEach(() => {
  asked.length = 0;
  Object.assign(world, { harmFrom: Number.POSITIVE_INFINITY, wrong: new Set(), refused: new Set() });
});

function parts(): Dependencies {
  const runtime = {
    async score({ state, items }: ScoreRequest) {
      const prompts = items.map((item) => item.prompt);
      asked.push({ what: 'score', seq: state?.seq ?? 0, prompts });
      if (prompts.some((prompt) => world.refused.has(prompt))) throw new ErrataError('INVALID_REQUEST', 'too long');
      return { results: items.map(({ prompt }) => ({ nll: 1, exact: !world.wrong.has(prompt), tokens: 1 })) };
    },
    async divergence({ state }: { state?: { seq: number } | undefined }) {
      const seq = state?.seq ?? 0;
      asked.push({ what: 'divergence', seq, prompts: [] });
      return { perplexity: 20, basePerplexity: 20, divergence: seq >= world.harmFrom ? 1 : 0.001, tokens: 512 };
    },
  };
  return { ...setting, runtime: runtime as unknown as Dependencies['runtime'] };
}

const layer = (rank: number, deltaNorm: number): LayerDrift => ({
  layer: 3,
  rank,
  deltaNorm,
  deltaBound: 100,
  boundShare: deltaNorm / 100,
  anchorDeviation: deltaNorm,
  effectiveRank: 1,
  spectralNorm: 1,
  conditionEstimate: 1,
  information: 1,
});

let edits = 0;
/** A committed batch of two edits that took `seconds`. */
async function commit(stream: Stream, seconds: number, deltaNorm?: number): Promise<number> {
  const input = { prompt: '{} is in', target: 'x', paraphrases: [], neighbours: [], tags: [] };
  await store.enqueueEdits(
    stream.id,
    [1, 2].map(() => ({ ...input, subject: `subject ${edits++}` })),
  );
  const batch = await store.claimBatch(stream.id, 8);
  if (!batch) throw new Error('nothing was claimed');
  const place = { streamId: stream.id, seq: batch.seq, sign: 1 as const, configHash: stream.configHash };
  for (const at of stream.config.layers)
    await store.stageEntry(
      {
        ...place,
        layer: at,
        keys: matrix(6, 2, at),
        g: matrix(6, 2, at),
        b: matrix(4, 2, at),
        rDiagonal: [1, 1],
        stats: {},
      },
      1,
    );
  await store.commitBatch(stream.id, batch.seq, { targets: 0, keys: 0, update: 0, total: seconds });
  await store.updateEdits(
    stream.id,
    batch.edits.map(({ id }) => ({ editId: id, status: 'verified' as const })),
  );
  const rank = 2 * batch.seq;
  await store.saveBatchDrift(stream.id, batch.seq, [layer(rank, deltaNorm ?? Math.sqrt(rank))]);
  return batch.seq;
}
const probe = (stream: Stream, seq: number, driftSeconds = 0) =>
  probeBatch(parts(), { streamId: stream.id, seq, driftSeconds }, signal);

it('measures everything that there is to ask while that is covered, once, and judges it', async () => {
  const stream = await newStream(store);
  await store.addCanary(stream.id, { name: 'capital', prompt: 'The capital of France is', expected: 'Paris' });
  const first = await commit(stream, 100);
  const { readings } = await probe(stream, first);
  expect(readings.map(({ budget }) => budget).sort()).toEqual(
    ['abilityLoss', 'boundShare', 'canariesLost', 'divergence', 'perplexityIncrease'].sort(),
  );
  const before = asked.length;
  expect(await probe(stream, first)).toEqual({ readings });
  expect(asked).toHaveLength(before);

  const second = await commit(stream, 100);
  world.wrong.add('The capital of France is');
  const found = await probe(stream, second);
  expect(found.readings.find(({ budget }) => budget === 'canariesLost')).toMatchObject({ value: 1, limit: 0 });
  const [canary] = await store.listCanaries(stream.id);
  expect(canary).toMatchObject({ baseHolds: true, holds: false, seq: second, heldSeq: first });
  const rounds = await store.listRounds(stream.id, 10);
  expect(rounds.at(-1)?.measured).toEqual(['retention', 'canaries', 'ability', 'heldOut']);
  expect(rounds.at(-1)?.results.retention).toMatchObject({
    asked: 2,
    held: 2,
    byAge: [{ age: '0-9', asked: 2, held: 2 }],
  });
});

it('measures nothing beyond its share, unless the batch moved a layer more than its like', async () => {
  const stream = await newStream(store);
  for (let i = 0; i < 3; i++) await probe(stream, await commit(stream, 10), 1.5);
  expect(asked).toEqual([]);
  const jump = await probe(stream, await commit(stream, 10, 9), 1.5);
  expect(jump.readings.map(({ budget }) => budget)).toContain('divergence');
  asked.length = 0;
  await store.setGuards(stream.id, { probes: { costShare: 0 } });
  await probe(stream, await commit(stream, 10, 40), 1.5);
  expect(asked).toEqual([]);
});

it('measures what an acting budget waits for though it is not covered: out of what is left, then every ten rounds', async () => {
  const stream = await newStream(store);
  await store.setGuards(stream.id, { budgets: { divergence: { action: 'rollback' } } });
  const first = await probe(stream, await commit(stream, 10), 0.9);
  expect(first.readings.map(({ budget }) => budget)).toContain('divergence');
  const measured: number[] = [];
  for (let i = 0; i < 12; i++) {
    const seq = await commit(stream, 10);
    const { readings } = await probe(stream, seq, 1.5);
    if (readings.some(({ budget }) => budget === 'divergence')) measured.push(seq);
  }
  expect(measured).toEqual([11]);
  expect(asked.every(({ what }) => what === 'divergence')).toBe(true);
});

it('goes on with the other kinds where the runtime refuses one', async () => {
  const stream = await newStream(store);
  await store.addCanary(stream.id, { name: 'long', prompt: 'a long one', expected: 'x' });
  world.refused.add('a long one');
  const { readings } = await probe(stream, await commit(stream, 100));
  expect(readings.map(({ budget }) => budget)).not.toContain('canariesLost');
  expect(readings.map(({ budget }) => budget)).toContain('divergence');
  expect((await setting.metrics.probesRefused.get()).values).toContainEqual({ labels: { kind: 'canaries' }, value: 1 });
});

it('finds the last good position by halving, and takes what is recorded as it is', async () => {
  const stream = await newStream(store);
  const good = (seq: number, budgets: ('divergence' | 'boundShare')[] = ['divergence']) =>
    findGood(parts(), { streamId: stream.id, seq, budgets }, signal);
  const seqs = [];
  for (let i = 0; i < 9; i++) {
    seqs.push(await commit(stream, 0));
    await probe(stream, seqs[i]);
  }
  asked.length = 0;
  world.harmFrom = seqs[8];
  expect(await good(seqs[8])).toEqual({ seq: seqs[7] });
  expect(asked.map(({ seq }) => seq)).toEqual([seqs[7]]);
  asked.length = 0;
  world.harmFrom = seqs[2];
  expect(await good(seqs[8])).toEqual({ seq: seqs[1] });
  expect(asked.length).toBeLessThanOrEqual(4);
  world.harmFrom = 1;
  expect(await good(seqs[8])).toEqual({ seq: 0 });
  asked.length = 0;
  expect(await good(seqs[8], ['boundShare'])).toEqual({ seq: seqs[7] });
  expect(asked).toEqual([]);
  await store.rollback(stream.id, seqs[4]);
  await store.createCheckpoint(stream.id, 'known');
  await store.rollback(stream.id, seqs[8]);
  await store.setGuards(stream.id, { rollbackTo: 'checkpoint' });
  world.harmFrom = seqs[8];
  expect(await good(seqs[8])).toEqual({ seq: seqs[4] });
});
