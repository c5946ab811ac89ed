import type { EditorConfig } from '@errata/contracts';
import {
  createDelta,
  disposeDelta,
  disposeModel,
  generate,
  type LayerDelta,
  type ModelConfig,
  scoreContinuations,
  secondMoments,
} from '@errata/model';
import { tinyModel, tinyTraits, webGpuEngine } from '@errata/model/testing';
import { createEngine, type Engine } from '@errata/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import { KeyFinder } from './keys.js';
import type { EditText } from './lookup.js';
import { resolveTargets } from './targets.js';

const config: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}'],
  learningRate: 0.2,
  maxSteps: 3,
  stopLoss: 0,
  clamp: 50,
  klWeight: 0.0625,
  weightDecay: 0.001,
};

/** A driver in software takes milliseconds an operation, and more on a busy machine. */
const slow = 240_000;

const edits: EditText[] = [
  { prompt: 'The colour is that of {}', subject: 'sky', target: 'r' },
  { prompt: 'Of all, {} has', subject: 'Ödön', target: 'so' },
];
const text = Array.from({ length: 40 }, (_, i) => 2 + ((i * 37) % 250));

/** All that a stream asks of a model, on the engine that is active. */
async function everything(engine: Engine, traits: Partial<ModelConfig>) {
  const model = tinyModel(engine, 7, traits);
  const { hiddenSize, intermediateSize } = model.config;
  const wave = (length: number) => Float32Array.from({ length }, (_, i) => 0.2 * Math.sin(1 + i));
  const factors = { rank: 2, left: wave(2 * hiddenSize), right: wave(2 * intermediateSize) };
  const deltas = new Map(
    (['factors', 'dense'] as const).map((form, layer) => [
      layer,
      createDelta(model, layer, factors, form) as LayerDelta,
    ]),
  );
  const { targets, figures } = await resolveTargets(model, edits, config, { deltas });
  const finder = new KeyFinder(model);
  const { keys, hidden } = await finder.find({ edits, config, layer: 1, deltas, version: String });
  finder.dispose();
  const { moments } = await secondMoments(model, [text.slice(0, 25), text.slice(25)], [1]);
  const asked = edits.map(({ prompt, target }) => ({ prompt, continuation: target }));
  const scores = await scoreContinuations(model, asked, { deltas });
  const generated = await generate(model, ['Once upon', 'A'], { maxTokens: 4, deltas });
  for (const delta of deltas.values()) disposeDelta(delta);
  disposeModel(model);
  return {
    numbers: {
      targets,
      losses: Float32Array.from(figures.flatMap(({ losses }) => losses)),
      keys,
      hidden,
      moments: moments.get(1) as Float32Array,
      scores: Float32Array.from(scores, ({ nll }) => nll),
    },
    generated,
  };
}

function relativeDifference(found: Float32Array, wanted: Float32Array): number {
  const error = Math.hypot(...found.map((value, i) => value - wanted[i]));
  return found.length === wanted.length ? error / Math.hypot(...wanted) : Number.POSITIVE_INFINITY;
}

/** These two differ in all operations but those of the norms, which the tests of the architectures cover. */
const kinds = (['Llama-like', 'Gemma-like'] as const).map((name): [string, Partial<ModelConfig>] => [
  name,
  tinyTraits[name],
]);
const native = await createEngine();
const expected = new Map<string, Awaited<ReturnType<typeof everything>>>();
for (const [name, traits] of kinds) expected.set(name, await everything(native, traits));
const engine = await webGpuEngine();
afterAll(() => engine?.dispose());

describe.runIf(engine !== null)('on WebGPU', { timeout: slow }, () => {
  it.each(kinds)('a %s model has the targets, keys, moments, scores and text of the CPU', async (name, traits) => {
    const webgpu = engine as Engine;
    const before = webgpu.tf.memory().numTensors;
    const found = await everything(webgpu, traits);
    const wanted = expected.get(name);
    for (const [what, values] of Object.entries(found.numbers))
      expect(
        relativeDifference(values, wanted?.numbers[what as keyof typeof found.numbers] as Float32Array),
        what,
      ).toBeLessThan(1e-4);
    expect(found.generated).toEqual(wanted?.generated);
    expect(webgpu.tf.memory().numTensors).toBe(before);
  });
});
