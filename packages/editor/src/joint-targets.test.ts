import type { EditorConfig } from '@errata/contracts';
import { createDelta, type Deltas, disposeDelta, type LayerDelta, type Model } from '@errata/model';
import { generator, tinyModel } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './adam.js';
import { type ResolvedTargets, resolveTogether, type TargetProgress, type TargetRequest } from './joint-targets.js';
import type { EditText } from './lookup.js';
import { searchBytes, sizeOf } from './search-memory.js';
import { plannedEdits, planSearches } from './search-plan.js';
import { sharedLengths } from './shared-prefixes.js';
import { targetRows } from './target-rows.js';
import { resolveTargets } from './targets.js';

const config: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}'],
  learningRate: 1,
  maxSteps: 8,
  stopLoss: 2,
  clamp: 50,
  klWeight: 0.0625,
  weightDecay: 0.001,
};

const edits: EditText[] = [
  { prompt: 'The colour is that of {}', subject: 'sky', target: 'r' },
  { prompt: 'Of all, {} has', subject: 'Ödön', target: 'many' },
  { prompt: 'No subject here', target: 'at' },
];

// Adam divides by the gradient's own size: where that is next to nothing, the order of a sum in fp32 decides its sign.
const tolerance = 2e-3;

/** The same operations, with a call after each: tfjs sees but its own. */
function sampled<Ops extends object>(ops: Ops, after: () => void): Ops {
  const wrapped = Object.entries(ops).map(([name, op]) => {
    if (op !== null && typeof op === 'object') return [name, sampled(op, after)];
    if (typeof op !== 'function') return [name, op];
    return [
      name,
      (...args: unknown[]) => {
        const result = op(...args);
        after();
        return result;
      },
    ];
  });
  return Object.fromEntries(wrapped);
}

type Part = Pick<TargetRequest, 'edits' | 'config' | 'deltas' | 'signal' | 'onProgress'>;

async function together(
  model: Model,
  parts: readonly Part[],
  options: Parameters<typeof resolveTogether>[2] = {},
): Promise<PromiseSettledResult<ResolvedTargets>[]> {
  const outcomes: PromiseSettledResult<ResolvedTargets>[] = [];
  const requests = parts.map((part, i) => ({
    ...part,
    settle: (outcome: PromiseSettledResult<ResolvedTargets>) => {
      expect(outcomes[i]).toBeUndefined();
      outcomes[i] = outcome;
    },
  }));
  await resolveTogether(model, requests, options);
  return outcomes;
}

function resultOf(outcome: PromiseSettledResult<ResolvedTargets>): ResolvedTargets {
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}

function expectSame(found: ResolvedTargets, alone: ResolvedTargets): void {
  expect(found.figures.map(({ steps }) => steps)).toEqual(alone.figures.map(({ steps }) => steps));
  for (const [edit, { losses }] of found.figures.entries())
    for (const [step, loss] of losses.entries()) expect(loss).toBeCloseTo(alone.figures[edit].losses[step], 3);
  expect(norm(found.targets.map((z, i) => z - alone.targets[i])) / norm(alone.targets)).toBeLessThan(tolerance);
}

describe('target searches of several requests', () => {
  let model: Model;
  const changes: Map<number, LayerDelta>[] = [];
  beforeAll(async () => {
    model = tinyModel(await createEngine());
    for (let stream = 1; stream <= 3; stream++) changes.push(change(stream, [0, 1]));
  });
  afterAll(() => {
    for (const deltas of changes) for (const delta of deltas.values()) disposeDelta(delta);
  });

  function change(seed: number, layers: readonly number[]): Map<number, LayerDelta> {
    const random = generator(seed);
    const { hiddenSize, intermediateSize } = model.config;
    const values = (size: number) => Float32Array.from({ length: 2 * size }, () => random() - 0.5);
    return new Map(
      layers.map((layer) => {
        const factors = { rank: 2, left: values(hiddenSize), right: values(intermediateSize) };
        return [layer, createDelta(model, layer, factors) as LayerDelta];
      }),
    );
  }
  const parts = (): Part[] => [
    { edits, config, deltas: changes[0] },
    {
      edits: edits.slice(0, 1),
      config: { ...config, templates: ['{}'], maxSteps: 5, learningRate: 0.5 },
      deltas: changes[1],
    },
    { edits: edits.slice(1), config: { ...config, templates: ['It is told that {}'], clamp: 10 } },
    { edits: edits.slice(0, 2), config: { ...config, resolver: 'one-shot', clamp: 1 }, deltas: changes[2] },
  ];
  const alone = ({ edits, config, deltas }: Part): Promise<ResolvedTargets> =>
    resolveTargets(model, edits, config, deltas ? { deltas } : {});

  it('find what each finds alone, whatever its weights, templates and settings', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const outcomes = await together(model, parts());
    expect(tf.memory().numTensors).toBe(before);
    for (const [i, part] of parts().entries()) expectSame(resultOf(outcomes[i]), await alone(part));
    const unedited = await resolveTargets(model, edits, config);
    expect(
      norm(resultOf(outcomes[0]).targets.map((z, i) => z - unedited.targets[i])) / norm(unedited.targets),
    ).toBeGreaterThan(10 * tolerance);
  });

  it('keep apart those with another last layer, and those whose changes reach above it', async () => {
    const higher = { edits, config: { ...config, layers: [1, 2] } };
    const reaching = change(9, [3]);
    const mixed = [parts()[0], higher, { edits, config, deltas: reaching as Deltas }];
    const outcomes = await together(model, mixed);
    for (const [i, part] of mixed.entries()) expectSame(resultOf(outcomes[i]), await alone(part));
    for (const delta of reaching.values()) disposeDelta(delta);
  });

  it('lose only what is refused or given up', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const gone = new AbortController();
    const early = AbortSignal.abort(new Error('early'));
    const endless = { ...config, stopLoss: 0, maxSteps: 100 };
    const onProgress = ({ step }: TargetProgress): void => {
      if (step === 3) gone.abort(new Error('gone'));
    };
    const [first, , third] = parts();
    const outcomes = await together(model, [
      first,
      { edits, config: endless, signal: gone.signal, onProgress },
      { edits: [{ prompt: 'a'.repeat(400), target: 'b' }], config },
      third,
      { edits, config, signal: early },
      { edits: [], config },
      { edits, config: { ...config, layers: [1, 7] } },
    ]);
    expect(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.message.slice(0, 12) : '')),
    ).toEqual(['', 'gone', '401 tokens d', '', 'early', 'the request ', 'the layers [']);
    expectSame(resultOf(outcomes[0]), await alone(first));
    expectSame(resultOf(outcomes[3]), await alone(third));
    expect(tf.memory().numTensors).toBe(before);
  });

  it('end when nobody waits any more, and all fail where the loop itself does', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const gone = new AbortController();
    let pauses = 0;
    const signal = gone.signal;
    const stop = await together(
      model,
      [
        { edits, config, signal },
        { edits, config, signal },
      ],
      {
        pause: async () => {
          if (++pauses === 20) gone.abort(new Error('gone'));
          expect(pauses).toBeLessThanOrEqual(20);
        },
      },
    );
    expect(stop.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const broken = await together(model, parts().slice(0, 3), {
      pause: async () => {
        if (++pauses > 44) throw new Error('broken');
      },
    });
    expect(broken.map((outcome) => outcome.status === 'rejected' && outcome.reason.message)).toEqual(
      Array(3).fill('broken'),
    );
    expect(tf.memory().numTensors).toBe(before);
  });

  it('in parts that fit the memory, find the same and report every step once', async () => {
    const many = Array.from({ length: 12 }, (_, i) => ({ ...edits[i % 3], target: 'abc'.repeat(1 + (i % 4)) }));
    const settings = { ...config, maxSteps: 4, stopLoss: 0 };
    const rows = targetRows(model, many, settings);
    const whole = searchBytes(model, sizeOf(rows, sharedLengths(rows)), 2);
    const memoryBytes = Math.round(whole / 3);
    const planned = plannedEdits(model, { request: 0, rows, from: 2, memoryBytes });
    const searches = planSearches(model, planned, { from: 2, memoryBytes });
    expect(searches.length).toBeGreaterThan(2);
    expect(
      searches
        .flat()
        .map(({ edit }) => edit)
        .sort((a, b) => a - b),
    ).toEqual(many.map((_, i) => i));
    const progress: TargetProgress[] = [];
    const split = await resolveTargets(model, many, settings, { memoryBytes, onProgress: (p) => progress.push(p) });
    expectSame(split, await resolveTargets(model, many, settings));
    const steps = searches.length * settings.maxSteps;
    expect(progress.map(({ step, steps }) => [step, steps])).toEqual(
      Array.from({ length: steps }, (_, i) => [i + 1, steps]),
    );
  });

  it('refuse an edit that does not fit alone, by its place and what it needs', async () => {
    const long = { ...edits[1], target: 'a'.repeat(200) };
    const rows = targetRows(model, [long], config);
    const needed = searchBytes(model, sizeOf(rows, sharedLengths(rows)), 2);
    const outcomes = await together(
      model,
      [
        { edits: [edits[0], long], config },
        { edits, config },
      ],
      {
        memoryBytes: 0.9 * needed,
      },
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(outcomes[0]).toMatchObject({
      reason: { code: 'OUT_OF_MEMORY', message: expect.stringContaining('edit 1') },
    });
  });

  it.each([
    ['short', 2, 10],
    ['long', 200, 4],
  ])('hold about as much as was reckoned: %s targets', async (_, length, count) => {
    const { tf } = model.engine;
    const same = Array.from({ length: count }, (_, i) => ({ ...edits[i % 3], target: 'a'.repeat(length) }));
    const rows = targetRows(model, same, config);
    const reckoned = searchBytes(model, sizeOf(rows, sharedLengths(rows)), 2);
    const before = tf.memory().numBytes;
    let most = before;
    const watched = { ...model, engine: { ...model.engine, ops: sampled(model.engine.ops, note) } };
    function note(): void {
      most = Math.max(most, tf.memory().numBytes);
    }
    const { peakBytes } = await tf.profile((async () => {
      await resolveTargets(watched, same, { ...config, maxSteps: 2 });
      return tf.scalar(0);
    }) as never);
    const held = Math.max(peakBytes, most) - before;
    expect(held).toBeLessThan(reckoned);
    expect(held).toBeGreaterThan(reckoned / 2);
  });
});
