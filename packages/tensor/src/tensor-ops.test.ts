import { beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine, type TensorOps } from './index.js';
import { portableOps } from './tensor-ops.js';

type Tensor = ReturnType<Engine['tf']['tensor']>;

let engine: Engine;
let portable: TensorOps;

beforeAll(async () => {
  engine = await createEngine({ prefer: 'native' });
  portable = portableOps(engine.tf);
});

let seed = 1;
const random = (...shape: number[]): Tensor => engine.tf.randomNormal(shape, 0, 2, 'float32', seed++);

/** Largest difference over the largest value. */
async function distance(actual: Tensor, expected: Tensor): Promise<number> {
  expect(actual.shape).toEqual(expected.shape);
  const [a, b] = [await actual.data(), await expected.data()] as Float32Array[];
  const size = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(size).toBeGreaterThan(0);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0) / size;
}

describe('native kernels', () => {
  // One row, fewer values than a vector has, and enough rows for all threads.
  const shapes = [
    [1, 576],
    [3, 5],
    [700, 576],
    [4, 3, 64],
  ];

  it.each(shapes)('norm as the composed operations do, there and back: %j %j', async (...shape) => {
    const { tf, ops } = engine;
    const sizes = shape.filter((n): n is number => n !== undefined);
    const [x, dy, residual, epsilon] = [random(...sizes), random(...sizes), random(...sizes), tf.scalar(1e-5)];
    const [ours, theirs] = [ops.rmsNorm(x, epsilon), portable.rmsNorm(x, epsilon)];
    expect(await distance(ours.normed, theirs.normed)).toBeLessThan(1e-6);
    expect(await distance(ours.rootMean, theirs.rootMean)).toBeLessThan(1e-6);
    for (const added of [undefined, residual])
      expect(
        await distance(ops.rmsNormBackward(dy, theirs, added), portable.rmsNormBackward(dy, theirs, added)),
      ).toBeLessThan(1e-6);
  });

  it('take an empty batch', async () => {
    const { tf, ops } = engine;
    const { normed, rootMean } = ops.rmsNorm(tf.zeros([0, 8]), tf.scalar(1e-5));
    expect([normed.shape, rootMean.shape, ops.swiGlu(normed, normed).shape]).toEqual([
      [0, 8],
      [0, 1],
      [0, 8],
    ]);
  });

  it('activate as the composed operations do, there and back, also far from zero', async () => {
    const { tf, ops } = engine;
    const extreme = tf.tensor2d([-1e4, -100, -88, -20, -1e-4, 0, 1e-4, 20, 88, 100, 1e4, 1], [3, 4]);
    for (const [gate, up] of [
      [random(145, 1536), random(145, 1536)],
      [random(3, 5), random(3, 5)],
      [extreme, tf.onesLike(extreme)],
    ]) {
      const gradient = random(...gate.shape);
      expect(await distance(ops.swiGlu(gate, up), portable.swiGlu(gate, up))).toBeLessThan(2e-6);
      const [ours, theirs] = [ops.swiGluBackward(gradient, gate, up), portable.swiGluBackward(gradient, gate, up)];
      expect(await distance(ours.gate, theirs.gate)).toBeLessThan(2e-6);
      expect(await distance(ours.up, theirs.up)).toBeLessThan(2e-6);
    }
  });

  it('refuse shapes that do not fit, and leave no tensor behind', () => {
    const { tf, ops } = engine;
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      expect(() => ops.swiGlu(random(2, 3), random(2, 4))).toThrow('equal shapes');
      expect(() => ops.rmsNormBackward(random(2, 3), ops.rmsNorm(random(2, 4), tf.scalar(1)))).toThrow('equal shapes');
      expect(() => ops.rmsNorm(random(2, 3), random(2))).toThrow('a scalar');
      const plan = { heads: 4, groups: 2, width: 2, cap: null, rotation: null, past: null };
      const attend = (spans: number[][], mask: Tensor, projected: Tensor) =>
        ops.attention?.forward({ ...plan, spans: tf.tensor2d(spans, [spans.length, 2], 'int32'), mask }, projected);
      const mask = tf.zeros([1, 1, 4, 2]);
      expect(() => attend([[0, 3]], mask, random(3, 48))).toThrow('a span outside');
      expect(() => attend([[2, 2]], mask, random(3, 48))).toThrow('a span outside');
      expect(() => attend([[0, 2]], tf.zeros([1, 1, 4, 3]), random(2, 48))).toThrow('same layout');
      expect(() => attend([[0, 2]], mask, random(2, 47))).toThrow('tokens by slots');
    });
    expect(tf.memory().numTensors).toBe(before);
  });
});
