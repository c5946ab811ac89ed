import { parsePreset } from '@errata/editor';
import { tinyModel } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { expect, test } from 'vitest';
import { openParts } from '../bench/bench-engine.js';
import { keyGains, type TrialEdit } from './trial.js';
import { tune } from './tune.js';

const edits: TrialEdit[] = ['sky', 'sea', 'sun', 'owl'].map((subject, i) => ({
  prompt: 'Of the {} it is said',
  subject,
  target: 'abcd'[i],
  paraphrases: [`The ${subject} is`],
  neighbours: ['A stone is'],
}));

test('a preset is chosen from trials, the same for the same seed, and is whole', async () => {
  const parts = await openParts('native');
  const model = tinyModel(await createEngine());
  const { tf } = model.engine;
  const before = tf.memory().numTensors;
  const run = (seed: number) =>
    tune(model, parts, {
      edits,
      sample: 3,
      seed,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
  const { preset, trials } = await run(5);
  expect(tf.memory().numTensors).toBe(before);
  expect(parsePreset('made.json', JSON.stringify(preset))).toEqual(preset);
  expect(preset.shape).toEqual({ architecture: 'llama', layers: 4, hiddenSize: 24 });
  // The last layer is left above the edited ones: a target is searched through it.
  expect(preset.config.layers).toEqual([0, 1, 2]);
  const best = Math.max(...trials.map((trial) => trial.score));
  expect(trials.find((trial) => trial.clamp === preset.config.clamp)?.score).toBe(best);
  expect(new Set(trials.map((trial) => trial.clamp))).toEqual(new Set([0.5, 0.75, 1]));
  for (const { rewrite, keyGain } of trials) {
    expect(rewrite).toBeGreaterThanOrEqual(0);
    expect(keyGain).toBeGreaterThan(1);
  }
  expect((await run(5)).preset).toEqual(preset);

  const aborted = AbortSignal.abort(new Error('enough'));
  const options = { edits, sample: 3, seed: 5, signal: aborted, onProgress: () => undefined };
  await expect(tune(model, parts, options)).rejects.toThrow('enough');
  await parts.engine.dispose();
});

test('the gain of a key is 1 + kᵀCk', () => {
  const keys = { length: 2, count: 2, data: Float64Array.of(1, 2, 3, 4) };
  const product = { length: 2, count: 2, data: Float64Array.of(10, 20, 0.5, 0.25) };
  expect(keyGains(keys, product)).toEqual([51, 3.5]);
});
