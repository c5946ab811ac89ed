import { createEngine, type Engine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  architectureNames,
  difference,
  expectedOf,
  folderOf,
  ggufOf,
  gradientOf,
  hasGguf,
  load,
  runInPieces,
  runWhole,
} from './architecture-testing.js';
import { architectureOf } from './architectures/families.js';
import { disposeModel } from './model.js';

const tolerance = 1e-4;

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

describe.each(architectureNames)('%s', (name) => {
  const expected = expectedOf(name);

  it('computes what transformers computes: logits, inputs of the second matrices, gradients', async () => {
    const before = engine.tf.memory().numTensors;
    const model = await load(engine, await folderOf(name));
    const { logits, inputs } = await runWhole(model, expected);
    expect(difference(logits, expected.logits)).toBeLessThan(tolerance);
    expect(inputs.size).toBe(2);
    for (const [layer, values] of expected.downInputs)
      expect(difference(inputs.get(layer) ?? [], values)).toBeLessThan(tolerance);
    expect(difference(await gradientOf(model, expected, false), expected.gradient.values)).toBeLessThan(tolerance);
    disposeModel(model);
    expect(engine.tf.memory().numTensors).toBe(before);
  });

  it('computes the same from the keys and values of earlier tokens', async () => {
    const model = await load(engine, await folderOf(name));
    expect(difference(await runInPieces(model, expected), expected.logits)).toBeLessThan(tolerance);
    expect(difference(await gradientOf(model, expected, true), expected.gradient.values)).toBeLessThan(tolerance);
    disposeModel(model);
  });

  it('is described alike by published configurations and those that transformers 5 writes', async () => {
    const { name: _, ...published } = architectureOf(await folderOf(name)).config;
    const { name: __, ...saved } = architectureOf(await folderOf(name, 'config.transformers5.json')).config;
    expect(saved).toEqual(published);
  });

  it.runIf(hasGguf(name))('is the same model in a GGUF file', async () => {
    const files = await ggufOf(name);
    const { name: _, ...config } = architectureOf(files).config;
    const { name: __, ...published } = architectureOf(await folderOf(name)).config;
    const { rotary, ...rest } = config;
    const { rotary: publishedRotary, ...publishedRest } = published;
    expect(rest).toEqual({ ...publishedRest, normEpsilon: expect.closeTo(publishedRest.normEpsilon, 10) });
    for (const kind of new Set(config.attention)) {
      const frequencies = Float32Array.from(publishedRotary[kind]?.frequencies ?? []);
      if (frequencies.length > 0) expect(difference(rotary[kind]?.frequencies ?? [], frequencies)).toBeLessThan(1e-6);
    }
    const model = await load(engine, files);
    const { logits } = await runWhole(model, expected);
    expect(difference(logits, expected.logits)).toBeLessThan(tolerance);
    disposeModel(model);
  });
});

describe('the name of a folder', () => {
  it.each([
    ['what its configuration says', '/models/x', 'meta-llama/Llama-3.2-1B', 'meta-llama/Llama-3.2-1B'],
    ['its own where that is a path of the trainer', '/models/my-llama', '/fsx/runs/step-9', 'my-llama'],
    ['its own where that is a relative path', '/models/my-llama', './out', 'my-llama'],
    ['its own where nothing is said', '/models/my-llama', undefined, 'my-llama'],
    ['that of the hub’s cache', '/hub/models--openai-community--gpt2/snapshots/60ab', '', 'openai-community/gpt2'],
  ])('is %s', async (_, path, given, name) => {
    const files = await folderOf('llama3');
    const { config } = architectureOf({ ...files, path, config: { ...files.config, _name_or_path: given } });
    expect(config.name).toBe(name);
  });
});
