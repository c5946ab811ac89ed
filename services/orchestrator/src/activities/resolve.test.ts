import { type Edit, ErrataError } from '@errata/contracts';
import type { ResolveTargetsRequest, ScoreRequest } from '@errata/rpc';
import type { ClaimedBatch, EditOutcome, Matrix } from '@errata/store';
import { expect, test } from 'vitest';
import type { Dependencies } from './context.js';
import { resolveTargets } from './resolve.js';

const streamId = 'str_1';

const edit = (id: string, paraphrase: string) =>
  ({
    id,
    streamId,
    prompt: '{} is',
    subject: id,
    target: 'x',
    paraphrases: [paraphrase],
    importance: 1,
    neighbours: [],
  }) as unknown as Edit;

/** A runtime that refuses long texts, and a store that holds one claimed batch. */
function setting(edits: Edit[], seq = 1, forgetting?: number) {
  let batch = {
    seq,
    parentSeq: 0,
    kind: 'apply',
    edits,
    columns: [],
    supersedes: null,
    revocationId: null,
  } as unknown as ClaimedBatch;
  const dropped: EditOutcome[] = [];
  const searches: number[] = [];
  const saved: Matrix[] = [];
  const check = (text: string) => {
    if (text.length > 20) throw new ErrataError('INVALID_REQUEST', 'longer than the context');
  };
  const dependencies = {
    store: {
      getStream: async () => ({ id: streamId, config: { layers: [6], maxSteps: 20, forgetting } }),
      getClaimedBatch: async () => batch,
      readTargets: async () => null,
      updateEdits: async () => {},
      saveTargets: async (_: string, __: number, targets: Matrix) => void saved.push(targets),
      dropFromBatch: async (_: string, __: number, outcomes: EditOutcome[]) => {
        dropped.push(...outcomes);
        batch = { ...batch, edits: batch.edits.filter((e) => !outcomes.some((o) => o.editId === e.id)) };
      },
    },
    runtime: {
      score: async ({ items }: ScoreRequest) => ({ results: items.map(() => ({ nll: 1, exact: false, tokens: 1 })) }),
      generate: async ({ prompts }: { prompts: string[] }) => {
        prompts.forEach(check);
        return { texts: prompts };
      },
      async *resolveTargets({ edits: asked }: ResolveTargetsRequest) {
        searches.push(asked.length);
        const stats = asked.map(({ editId }) => ({ editId, alreadyKnown: false, steps: 1 }));
        const targets = { rows: 2, columns: asked.length, data: Buffer.alloc(8 * asked.length) };
        yield { event: { $case: 'result', result: { targets, stats } } };
      },
    },
    metrics: { targetSteps: { observe: () => {} } },
  } as unknown as Dependencies;
  return { dependencies, dropped, searches, saved };
}

const signal = new AbortController().signal;

test('a batch that the model takes is resolved with one search', async () => {
  const { dependencies, dropped, searches, saved } = setting([edit('a', 'short'), edit('b', 'short')]);
  expect(await resolveTargets(dependencies, streamId, 1, signal)).toMatchObject({ edits: 2 });
  expect(searches).toEqual([2]);
  expect(saved.map((targets) => targets.columns)).toEqual([2]);
  expect(dropped).toEqual([]);
});

test('an edit with a probe that the model cannot take is rejected alone, the others are resolved', async () => {
  const { dependencies, dropped, saved } = setting([edit('a', 'short'), edit('b', 'l'.repeat(30)), edit('c', 'short')]);
  expect(await resolveTargets(dependencies, streamId, 1, signal)).toMatchObject({ edits: 2 });
  expect(dropped).toEqual([{ editId: 'b', status: 'rejected', reason: 'longer than the context' }]);
  expect(saved.map((targets) => targets.columns)).toEqual([2]);
});

test('a batch of which nothing is left needs no targets', async () => {
  const { dependencies, dropped, saved } = setting([edit('b', 'l'.repeat(30))]);
  expect(await resolveTargets(dependencies, streamId, 1, signal)).toMatchObject({ edits: 0 });
  expect(dropped).toHaveLength(1);
  expect(saved).toEqual([]);
});

test('an edit that would weigh too much is rejected with what to do, before its target is looked for', async () => {
  const light = { ...edit('b', 'short'), importance: 0.5 } as Edit;
  const { dependencies, dropped, searches } = setting([edit('a', 'short'), light], 180, 0.9);
  expect(await resolveTargets(dependencies, streamId, 180, signal)).toMatchObject({ edits: 1 });
  expect(dropped).toMatchObject([{ editId: 'a', status: 'rejected' }]);
  expect(dropped[0].reason).toMatch(/batch 180 .*weight 1\.7e\+8 .*an importance of at most 0\.58, or to a new stream/);
  expect(searches).toEqual([1]);
});
