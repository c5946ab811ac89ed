import { createEngine } from '@errata/tensor';
import { beforeAll, expect, it } from 'vitest';
import { createDelta } from './deltas.js';
import { type BaseStates, divergenceFromBase } from './divergence.js';
import { embed, forward, logits } from './forward.js';
import { createLayout } from './layout.js';
import { perplexity } from './score.js';
import { tinyModel } from './testing.js';
import type { Deltas, Model } from './types.js';

const windows = [
  [70, 80, 90, 100, 110, 75, 85],
  [101, 102, 103, 104],
];

let model: Model;
let deltas: Deltas;
beforeAll(async () => {
  model = tinyModel(await createEngine());
  const { hiddenSize, intermediateSize } = model.config;
  const wave = (length: number, step: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * step));
  const delta = createDelta(model, 2, { rank: 1, left: wave(hiddenSize, 0.7), right: wave(intermediateSize, 1.3) });
  deltas = new Map(delta ? [[2, delta]] : []);
});

/** Next-token distributions of a window in fp64, out of the raw logits. */
async function distributions(window: readonly number[], edited: boolean): Promise<number[][]> {
  const { tf } = model.engine;
  const ids = [model.sinkId, ...window.slice(0, -1)];
  const layout = createLayout(tf, model.config, [{ first: 0, count: ids.length }]);
  const { hidden } = await forward(model, embed(model, ids), layout, edited ? { deltas } : {});
  const raw = await logits(model, hidden).data();
  const width = model.config.vocabularySize;
  return ids.map((_, row) => {
    const scores = Array.from(raw.subarray(row * width, (row + 1) * width), Math.exp);
    const sum = scores.reduce((total, score) => total + score, 0);
    return scores.map((score) => score / sum);
  });
}

it('agrees with distributions worked out in fp64', async () => {
  let [divergence, tokens] = [0, 0];
  for (const window of windows) {
    const [before, after] = [await distributions(window, false), await distributions(window, true)];
    for (const [row, chances] of before.entries()) {
      tokens++;
      for (const [token, p] of chances.entries()) divergence += p * Math.log(p / after[row][token]);
    }
  }
  const known: BaseStates = new Map();
  const found = await divergenceFromBase(model, windows, { deltas }, known);
  expect(found.tokens).toBe(tokens);
  expect(divergence / tokens).toBeGreaterThan(1e-3);
  expect(found.divergence / (divergence / tokens)).toBeCloseTo(1, 4);
  expect(found.perplexity / (await perplexity(model, windows, { deltas })).perplexity).toBeCloseTo(1, 4);
  expect(found.basePerplexity / (await perplexity(model, windows)).perplexity).toBeCloseTo(1, 4);
  expect(known.size).toBe(windows.length);
  expect(await divergenceFromBase(model, windows, { deltas }, known)).toEqual(found);
});

it('is nothing without edits, and leaves no tensor behind', async () => {
  const before = model.engine.tf.memory().numTensors;
  const found = await divergenceFromBase(model, windows, {});
  expect(found.divergence).toBeLessThan(1e-6);
  expect(found.perplexity).toBe(found.basePerplexity);
  expect(model.engine.tf.memory().numTensors).toBe(before);
});
