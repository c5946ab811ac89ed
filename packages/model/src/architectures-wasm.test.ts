import { createEngine, type Engine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  architectureNames,
  difference,
  expectedOf,
  folderOf,
  gradientOf,
  load,
  runWhole,
} from './architecture-testing.js';
import { disposeModel } from './model.js';

const tolerance = 1e-4;

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ prefer: 'wasm' });
});

describe.each(architectureNames)('%s on WebAssembly', (name) => {
  it('computes what transformers computes', async () => {
    const before = engine.tf.memory().numTensors;
    const expected = expectedOf(name);
    const model = await load(engine, await folderOf(name));
    const { logits, inputs } = await runWhole(model, expected);
    expect(difference(logits, expected.logits)).toBeLessThan(tolerance);
    for (const [layer, values] of expected.downInputs)
      expect(difference(inputs.get(layer) ?? [], values)).toBeLessThan(tolerance);
    expect(difference(await gradientOf(model, expected, true), expected.gradient.values)).toBeLessThan(tolerance);
    disposeModel(model);
    expect(engine.tf.memory().numTensors).toBe(before);
  });
});
