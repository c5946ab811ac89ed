import type { EditorConfig } from '@errata/contracts';
import {
  createDelta,
  createLayout,
  type Deltas,
  disposeDelta,
  embed,
  forward,
  type LayerDelta,
  type Model,
} from '@errata/model';
import { generator, tinyModel, tinyTraits } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { keyRows } from './key-rows.js';
import { KeyFinder } from './keys.js';
import { type EditText, locate } from './lookup.js';
import { passBytes } from './search-memory.js';

const config: EditorConfig = {
  layers: [0, 1, 2],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}', 'It is told that {}'],
  learningRate: 0.5,
  maxSteps: 5,
  stopLoss: 0.1,
  clamp: 0.75,
  klWeight: 0,
  weightDecay: 0,
};

const edits: EditText[] = [
  { prompt: 'The {} is', subject: 'sky', target: 'red' },
  { prompt: 'No subject here', target: 'at all' },
];

describe.each(Object.entries(tinyTraits))('keys of a %s model', (_, traits) => {
  let model: Model;
  beforeAll(async () => {
    model = tinyModel(await createEngine(), 7, traits);
  });

  const change = (layer: number, seed: number): LayerDelta => {
    const random = generator(seed);
    const values = (n: number): Float32Array => Float32Array.from({ length: n }, () => (random() - 0.5) / 2);
    const { hiddenSize, intermediateSize } = model.config;
    const factors = { rank: 2, left: values(2 * hiddenSize), right: values(2 * intermediateSize) };
    const delta = createDelta(model, layer, factors, 'factors');
    if (!delta) throw new Error('no delta');
    return delta;
  };

  /** Keys and present state one row at a time, from the whole forward pass. */
  async function plain(layer: number, deltas: Deltas): Promise<{ keys: number[][]; hidden: number[][] }> {
    const { tf } = model.engine;
    const keys: number[][] = [];
    const hidden: number[][] = [];
    for (const edit of edits) {
      const sum = new Array<number>(model.config.intermediateSize).fill(0);
      for (const [t, template] of config.templates.entries()) {
        const { ids, lookup } = locate(model, template, edit);
        const layout = createLayout(tf, model.config, [{ first: 0, count: ids.length }]);
        const embedded = embed(model, ids);
        const run = await forward(model, embedded, layout, {
          to: 3,
          deltas,
          capture: (at, activations) => {
            if (at !== layer) return;
            (activations.arraySync() as number[][])[lookup].forEach((x, i) => {
              sum[i] += (t === 0 ? 0.5 : 0.25) * x;
            });
          },
        });
        if (t === 0) hidden.push((run.hidden.arraySync() as number[][])[lookup]);
        layout.dispose();
        tf.dispose([embedded, run.hidden]);
      }
      keys.push(sum);
    }
    return { keys, hidden };
  }

  const close = (found: Float32Array, wanted: number[][]): void => {
    const flat = wanted.flat();
    expect(found.length).toBe(flat.length);
    flat.forEach((value, i) => {
      expect(Math.abs(found[i] - value)).toBeLessThan(1e-4);
    });
  };

  /** Of each edit alone, in bytes. */
  const sizes = (): { running: number; kept: number }[] =>
    edits.map((edit) => {
      const lengths = keyRows(model, edit, config).map(({ ids }) => ids.length);
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      return passBytes(model, { rows: lengths.length, tokens, longestRow: Math.max(...lengths) });
    });
  const most = (): number => Math.max(...sizes().map(({ running, kept }) => running + kept));

  it.each([
    ['at once', () => Number.POSITIVE_INFINITY],
    ['in parts that are kept', () => most() + sizes().reduce((sum, { kept }) => sum + kept, 0)],
    ['in parts that begin anew', () => most()],
  ])('are those of whole forward passes while the layers below change one after the other, %s', async (_, bytes) => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const finder = new KeyFinder(model, { memoryBytes: bytes() });
    const deltas = new Map<number, LayerDelta>();
    const versions = new Map<number, string>();
    const version = (layer: number): string => versions.get(layer) ?? 'base';
    for (const layer of config.layers) {
      const found = await finder.find({ edits, config, layer, deltas, version });
      const wanted = await plain(layer, deltas);
      close(found.keys, wanted.keys);
      close(found.hidden, wanted.hidden);
      deltas.set(layer, change(layer, layer + 20));
      versions.set(layer, `first:${layer}`);
      // The same layer again with its own change: the keys stay, the present state moves.
      const again = await finder.find({ edits, config, layer, deltas, version });
      close(again.keys, wanted.keys);
      close(again.hidden, (await plain(layer, deltas)).hidden);
    }

    // A retry that goes back, and a change below what is kept, must not be answered from it.
    close((await finder.find({ edits, config, layer: 1, deltas, version })).keys, (await plain(1, deltas)).keys);
    disposeDelta(deltas.get(0) as LayerDelta);
    deltas.set(0, change(0, 77));
    versions.set(0, 'second:0');
    close((await finder.find({ edits, config, layer: 2, deltas, version })).keys, (await plain(2, deltas)).keys);

    // Other edits than those that are kept.
    const [first] = edits;
    const one = await finder.find({ edits: [first], config, layer: 2, deltas, version });
    close(one.keys, (await plain(2, deltas)).keys.slice(0, 1));

    finder.dispose();
    for (const delta of deltas.values()) disposeDelta(delta);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuse an edit that does not fit the memory, by its place', async () => {
    const sky = sizes()[0];
    const finder = new KeyFinder(model, { memoryBytes: sky.running + sky.kept });
    await expect(
      finder.find({ edits, config, layer: 0, deltas: new Map(), version: () => 'base' }),
    ).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', message: expect.stringContaining('edit 1') });
  });
});
