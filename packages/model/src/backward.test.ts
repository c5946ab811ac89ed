import { createEngine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { backward, disposeTrace, forwardTraced } from './backward.js';
import { createDelta, disposeDelta } from './deltas.js';
import { embed, forward, pickRows } from './forward.js';
import { createLayout } from './layout.js';
import { free } from './memory.js';
import { generator, tinyModel, tinyTraits } from './testing.js';
import type { Deltas, KeyValues, Model, Tensor } from './types.js';

const cases = Object.entries(tinyTraits).flatMap(([name, traits]) => [
  { name, traits, way: 'at once' },
  { name, traits, way: 'by products' },
]);

describe.each(cases)('backward pass of a $name model, attention $way', ({ traits, way }) => {
  let model: Model;
  beforeAll(async () => {
    const engine = await createEngine();
    const ops = way === 'at once' ? engine.ops : { ...engine.ops, attention: null };
    model = tinyModel({ ...engine, ops }, 7, traits);
  });

  const randoms = (length: number, seed: number): Float32Array => {
    const random = generator(seed);
    return Float32Array.from({ length }, () => random() - 0.5);
  };

  /** Central differences of Σ readout · output, entry by entry, against the gradient. */
  async function check(rows: number[][], lookups: number[], deltas?: Deltas): Promise<void> {
    const { tf } = model.engine;
    const size = model.config.hiddenSize;
    const from = 1;
    const before = tf.memory().numTensors;
    const layout = createLayout(
      tf,
      model.config,
      rows.map((ids, r) => ({ first: lookups[r], count: ids.length - lookups[r] })),
      { width: Math.max(...lookups), visible: (row, column) => column < lookups[row] },
    );
    const prefix = createLayout(
      tf,
      model.config,
      lookups.map((count) => ({ first: 0, count })),
    );
    const embedded = embed(
      model,
      rows.flatMap((ids, r) => ids.slice(0, lookups[r])),
    );
    const run = await forward(model, embedded, prefix, { from, keepKeyValues: true });
    const past: KeyValues[] = run.keyValues;
    const values = randoms(layout.tokens * size, 3).map((x) => 2 * x);
    const readout = randoms(layout.tokens * size, 4);
    const options = { from, past, ...(deltas ? { deltas } : {}) };
    const output = async (input: Float32Array): Promise<number> => {
      const hidden: Tensor = tf.tensor2d(input, [layout.tokens, size]);
      const found = await forward(model, hidden, layout, options);
      const result = await found.hidden.data();
      tf.dispose([hidden, found.hidden]);
      return readout.reduce((sum, weight, i) => sum + weight * result[i], 0);
    };

    const hidden: Tensor = tf.tensor2d(values, [layout.tokens, size]);
    const traced = await forwardTraced(model, hidden, layout, options);
    const seedGradient: Tensor = tf.tensor2d(readout, [layout.tokens, size]);
    const gradient = await backward(model, seedGradient, layout, traced, options);
    const found = (await gradient.data()) as Float32Array;
    const step = 4e-3;
    let worst = 0;
    for (let i = 0; i < values.length; i += 7) {
      const moved = (by: number): Float32Array => values.map((v, j) => (i === j ? v + by : v));
      const numeric = ((await output(moved(step))) - (await output(moved(-step)))) / (2 * step);
      worst = Math.max(worst, Math.abs(numeric - found[i]));
    }
    const scale = Math.sqrt(found.reduce((sum, x) => sum + x * x, 0) / found.length);
    expect(scale).toBeGreaterThan(0.05);
    expect(worst / scale).toBeLessThan(5e-3);

    disposeTrace(model, traced);
    layout.dispose();
    prefix.dispose();
    free(tf, embedded, run.hidden, past, hidden, seedGradient, gradient);
    expect(tf.memory().numTensors).toBe(before);
  }

  it('agrees with finite differences, with a cached past and rows of different lengths', async () => {
    await check(
      [
        [0, 5, 6, 7, 8, 9],
        [0, 11, 12],
        [0, 20, 21, 22, 23],
      ],
      [2, 1, 4],
    );
  });

  it('agrees with finite differences through an edited layer', async () => {
    const { hiddenSize, intermediateSize } = model.config;
    for (const form of ['factors', 'dense'] as const) {
      const factors = { rank: 3, left: randoms(3 * hiddenSize, 8), right: randoms(3 * intermediateSize, 9) };
      const delta = createDelta(model, 2, factors, form);
      if (!delta) throw new Error('no delta');
      await check([[0, 5, 6, 7, 8]], [2], new Map([[2, delta]]));
      disposeDelta(delta);
    }
  });

  it.each([1, 'the last'] as const)('runs the tokens that leave alone as among all, from layer %s', async (first) => {
    const { tf } = model.engine;
    const { hiddenSize: size, layers } = model.config;
    const from = first === 1 ? 1 : layers;
    const before = tf.memory().numTensors;
    const layout = createLayout(tf, model.config, [
      { first: 0, count: 4 },
      { first: 0, count: 2 },
    ]);
    const leaving = [3, 1, 5];
    const hidden: Tensor = tf.tensor2d(randoms(layout.tokens * size, 3), [layout.tokens, size]);
    const values = randoms(leaving.length * size, 4);
    const spread = new Float32Array(layout.tokens * size);
    leaving.forEach((token, i) => {
      spread.set(values.subarray(i * size, (i + 1) * size), token * size);
    });
    const run = async (options: { leaving?: number[] }, gradient: Float32Array): Promise<Float32Array[]> => {
      const seed: Tensor = tf.tensor2d(gradient, [gradient.length / size, size]);
      const traced = await forwardTraced(model, hidden, layout, { from, ...options });
      const toHidden = await backward(model, seed, layout, traced, { from });
      const out = options.leaving ? traced.hidden.clone() : pickRows(model, traced.hidden, leaving);
      const found = [(await out.data()) as Float32Array, (await toHidden.data()) as Float32Array];
      free(tf, out, seed, ...(toHidden === seed ? [] : [toHidden]));
      if (traced.hidden !== hidden) disposeTrace(model, traced);
      return found;
    };
    const all = await run({}, spread);
    const some = await run({ leaving }, values);
    layout.dispose();
    hidden.dispose();
    expect(tf.memory().numTensors).toBe(before);
    for (const [i, expected] of all.entries()) {
      expect(some[i].length).toBe(expected.length);
      const scale = Math.hypot(...expected);
      expect(scale).toBeGreaterThan(0.1);
      expect(Math.hypot(...expected.map((x, j) => x - some[i][j])) / scale).toBeLessThan(1e-5);
    }
  });

  it('gives factors and dense weights the same output', async () => {
    const { tf } = model.engine;
    const { hiddenSize, intermediateSize } = model.config;
    const ids = [0, 5, 6, 7, 8, 40, 41];
    const layout = createLayout(tf, model.config, [{ first: 0, count: ids.length }]);
    const factors = { rank: 5, left: randoms(5 * hiddenSize, 1), right: randoms(5 * intermediateSize, 2) };
    const outputs: Float32Array[] = [];
    for (const form of ['factors', 'dense', null] as const) {
      const delta = form ? createDelta(model, 2, factors, form) : undefined;
      const embedded = embed(model, ids);
      const { hidden } = await forward(model, embedded, layout, { deltas: new Map(delta ? [[2, delta]] : []) });
      const last = pickRows(model, hidden, [ids.length - 1]);
      outputs.push((await last.data()) as Float32Array);
      tf.dispose([embedded, hidden, last]);
      if (delta) disposeDelta(delta);
    }
    layout.dispose();
    const distance = (a: Float32Array, b: Float32Array): number => Math.hypot(...a.map((x, i) => x - b[i]));
    expect(distance(outputs[0], outputs[1])).toBeLessThan(1e-4);
    expect(distance(outputs[0], outputs[2])).toBeGreaterThan(0.1);
  });
});
