import type { EditorConfig } from '@errata/contracts';
import {
  createLayout,
  disposeModel,
  embed,
  forward,
  free,
  loadModel,
  logits,
  type Model,
  pickRows,
} from '@errata/model';
import { testModelPath, tinyModel, tinyTraits } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { norm } from './adam.js';
import type { EditText } from './lookup.js';
import { resolveTargetsPlainly } from './plain-targets.js';
import { presetFor } from './presets.js';
import { targetRows } from './target-rows.js';
import { resolveTargets } from './targets.js';

const config: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}', 'It is told that {}'],
  learningRate: 1,
  maxSteps: 16,
  stopLoss: 3,
  clamp: 50,
  klWeight: 0.0625,
  weightDecay: 0.001,
};

const edits: EditText[] = [
  { prompt: 'The colour is that of {}', subject: 'sky', target: 'r' },
  { prompt: 'Of all, {} has', subject: 'Ödön', target: 'many' },
  { prompt: 'No subject here', target: 'at' },
];

describe.each(Object.entries(tinyTraits))('target search on a %s model', (name, traits) => {
  const onLlama = it.runIf(name === 'Llama-like');
  // The plain loop takes its time; these two differ in all that the loss depends on.
  const onSome = it.runIf(name === 'Llama-like' || name === 'Gemma-like');
  let model: Model;
  beforeAll(async () => {
    model = tinyModel(await createEngine(), 7, traits);
  });

  /** Loss of one edit on whole sequences, every layer run on every token: what the search must minimise. */
  async function wholeLoss(edit: number, z: Float32Array): Promise<{ nll: number; kl: number }> {
    const { tf } = model.engine;
    const rows = targetRows(model, edits, config).filter((row) => row.edit === edit);
    const [bare] = rows;
    let delta: number[] | null = null;
    let nll = 0;
    let kl = 0;
    for (const row of rows) {
      const run = async (moved: boolean): Promise<number[][]> => {
        const layout = createLayout(tf, model.config, [{ first: 0, count: row.ids.length }]);
        const embedded = embed(model, row.ids);
        const below = await forward(model, embedded, layout, { to: 2 });
        const values = (await below.hidden.data()) as Float32Array;
        const at = row.lookup * model.config.hiddenSize;
        if (row === bare && !delta) delta = [...z].map((value, i) => value - values[at + i]);
        const input = tf.tensor2d(
          values.map((value, i) => {
            const inside = i >= at && i < at + z.length;
            return moved && inside && delta ? value + delta[i - at] : value;
          }),
          [row.ids.length, model.config.hiddenSize],
        );
        const above = await forward(model, input, layout, { from: 2 });
        const picked = pickRows(
          model,
          above.hidden,
          row.watched.map((w) => row.lookup + w.offset),
        );
        const scores = logits(model, picked);
        const logProbabilities = tf.logSoftmax(scores);
        const result = (await logProbabilities.array()) as number[][];
        layout.dispose();
        free(tf, embedded, below.hidden, input, above.hidden, picked, scores, logProbabilities);
        return result;
      };
      const found = await run(true);
      for (const [i, { token, weight }] of row.watched.entries())
        if (token !== null) nll -= weight * found[i][token];
        else {
          const [base] = await run(false);
          kl = base.reduce((sum, logP, t) => sum + Math.exp(logP) * (logP - found[i][t]), 0);
        }
    }
    return { nll, kl };
  }

  it('lowers the loss, and its suffix-only figures are those of whole sequences', async () => {
    const { targets, figures } = await resolveTargets(model, edits, config);
    const size = model.config.hiddenSize;
    for (const [edit, found] of figures.entries()) {
      expect(found.finalNll).toBeLessThan(found.initialNll - 1);
      const whole = await wholeLoss(edit, targets.slice(edit * size, (edit + 1) * size));
      expect(found.finalNll).toBeCloseTo(whole.nll, 3);
      expect(found.kl).toBeCloseTo(whole.kl, 3);
    }
  });

  onSome('goes the way of the plain loop, step by step', async () => {
    const { tf } = model.engine;
    const found = await resolveTargets(model, edits, config);
    const before = tf.memory().numTensors;
    const plain = await resolveTargetsPlainly(model, edits, config);
    expect(tf.memory().numTensors).toBe(before);
    for (const [edit, { losses, alreadyKnown }] of plain.figures.entries()) {
      expect(found.figures[edit].alreadyKnown).toBe(alreadyKnown);
      expect(losses.length).toBe(found.figures[edit].losses.length);
      for (const [step, loss] of losses.entries()) expect(found.figures[edit].losses[step]).toBeCloseTo(loss, 3);
    }
  });

  onLlama('takes one step against the gradient in the one-shot resolver', async () => {
    const shared = { ...config, clamp: 0.5, learningRate: 1e-4, weightDecay: 0 };
    const { targets, figures } = await resolveTargets(model, edits, { ...shared, resolver: 'one-shot' });
    for (const { steps, losses, relativeNorm } of figures) {
      expect(steps).toBe(1);
      expect(losses.length).toBe(1);
      expect(relativeNorm).toBeCloseTo(0.2, 5);
    }
    const size = model.config.hiddenSize;
    for (const [edit, { nll }] of (
      await Promise.all(edits.map((_, e) => wholeLoss(e, targets.slice(e * size, (e + 1) * size))))
    ).entries())
      expect(nll).toBeLessThan(figures[edit].initialNll);
  });

  onLlama('finds the same whether finished edits stay in the batch or leave it, and alone', async () => {
    const dropped = await resolveTargets(model, edits, config);
    const steps = dropped.figures.map((f) => f.steps);
    expect(new Set(steps).size).toBeGreaterThan(1);
    const kept = await resolveTargets(model, edits, config, { keepFinished: true });
    expect(kept.figures.map((f) => f.steps)).toEqual(steps);
    const scale = norm(kept.targets);
    expect(norm(kept.targets.map((z, i) => z - dropped.targets[i])) / scale).toBeLessThan(2e-3);
    const alone = await resolveTargets(model, [edits[1]], config);
    const size = model.config.hiddenSize;
    const own = dropped.targets.slice(size, 2 * size);
    expect(norm(alone.targets.map((z, i) => z - own[i])) / norm(own)).toBeLessThan(2e-3);
  });

  it('is deterministic and frees every tensor', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const first = await resolveTargets(model, edits, config);
    const second = await resolveTargets(model, edits, config);
    expect(second).toEqual(first);
    let calls = 0;
    const pause = async (): Promise<void> => {
      if (++calls === 25) throw new Error('stop');
    };
    await expect(resolveTargets(model, edits, config, { pause })).rejects.toThrow('stop');
    expect(tf.memory().numTensors).toBe(before);
  });

  onLlama('keeps δ within the clamp', async () => {
    const { figures } = await resolveTargets(model, edits, { ...config, clamp: 0.1, stopLoss: 0 });
    for (const { relativeNorm, steps } of figures) {
      expect(relativeNorm).toBeLessThanOrEqual(0.1001);
      expect(steps).toBe(config.maxSteps - 1);
    }
  });
});

describe.skipIf(testModelPath === '')('target search on SmolLM2', () => {
  it('finds a target, and marks an edit whose target the model says already', async () => {
    const model = await loadModel({ engine: await createEngine(), path: testModelPath });
    const preset = presetFor('SmolLM2-135M-Instruct');
    if (!preset) throw new Error('no preset');
    const { targets, figures } = await resolveTargets(
      model,
      [
        { prompt: 'The capital of {} is', subject: 'France', target: 'Paris' },
        { prompt: 'The mother tongue of {} is', subject: 'Danielle Darrieux', target: 'English' },
      ],
      preset,
    );
    expect(figures[0]).toMatchObject({ alreadyKnown: true, steps: 0, relativeNorm: 0 });
    expect(figures[1].alreadyKnown).toBe(false);
    expect(figures[1].finalNll).toBeLessThan(0.1);
    expect(figures[1].steps).toBeGreaterThan(2);
    expect(targets.length).toBe(2 * model.config.hiddenSize);
    expect(targets.every(Number.isFinite)).toBe(true);
    disposeModel(model);
  });
});
