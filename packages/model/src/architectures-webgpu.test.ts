import type { Engine } from '@errata/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import {
  architectureNames,
  difference,
  expectedOf,
  folderOf,
  gradientOf,
  load,
  runInPieces,
  runWhole,
} from './architecture-testing.js';
import { disposeModel } from './model.js';
import { webGpuEngine } from './testing.js';

const tolerance = 1e-4;
/** A driver in software takes milliseconds an operation, and more on a busy machine. */
const slow = 240_000;
const engine = await webGpuEngine();
afterAll(() => engine?.dispose());

/** Tensors, and bytes of the device in use once all that was freed has been submitted. */
async function held({ tf }: Engine): Promise<{ tensors: number; bytes: number }> {
  const ones = tf.fill([5000], 1);
  await ones.data();
  ones.dispose();
  const { numTensors, numBytesInGPU } = tf.memory() as { numTensors: number; numBytesInGPU?: number };
  return { tensors: numTensors, bytes: numBytesInGPU ?? Number.NaN };
}

describe.runIf(engine !== null)('on WebGPU', { timeout: slow }, () => {
  const on = engine as Engine;

  it.each(architectureNames)(
    '%s computes what transformers computes and leaves nothing on the device',
    async (name) => {
      const before = await held(on);
      const expected = expectedOf(name);
      const model = await load(on, await folderOf(name));
      const { logits, inputs } = await runWhole(model, expected);
      expect(difference(logits, expected.logits)).toBeLessThan(tolerance);
      expect(inputs.size).toBe(2);
      for (const [layer, values] of expected.downInputs)
        expect(difference(inputs.get(layer) ?? [], values)).toBeLessThan(tolerance);
      for (const suffix of [false, true])
        expect(difference(await gradientOf(model, expected, suffix), expected.gradient.values)).toBeLessThan(tolerance);
      disposeModel(model);
      expect(await held(on)).toEqual(before);
    },
  );

  it.each(['llama3', 'gemma3'] as const)(
    '%s computes the same from keys and values of earlier tokens',
    async (name) => {
      const expected = expectedOf(name);
      const model = await load(on, await folderOf(name));
      expect(difference(await runInPieces(model, expected), expected.logits)).toBeLessThan(tolerance);
      disposeModel(model);
    },
  );
});
