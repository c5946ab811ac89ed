import { afterAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from './index.js';

/** A value and gradient through ops that wasm has and ops it borrows from the JavaScript backend. */
async function sample(engine: Engine): Promise<number[]> {
  const { tf } = engine;
  const numbers = (shape: [number, number], seed: number) =>
    tf.tensor2d(
      Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(seed + i * 0.37)),
      shape,
    );
  const loss = (w: ReturnType<typeof numbers>) =>
    tf.tidy(() => {
      const x = numbers([6, 5], 1);
      const h = tf.mul(tf.sigmoid(tf.matMul(x, w)), tf.matMul(x, w));
      const picked = tf.gather(tf.logSoftmax(h), tf.tensor1d([0, 3, 3], 'int32'), 0);
      return tf.add(tf.mean(picked), tf.sum(tf.square(tf.softplus(w))));
    });
  const w = numbers([5, 7], 2);
  const { value, grad } = tf.valueAndGrad(loss as never)(w as never);
  const result = [...(await value.data()), ...(await grad.data())];
  tf.dispose([w, value, grad]);
  return result;
}

const noise: unknown[] = [];
const warn = console.warn;
console.warn = (...parts: unknown[]) => noise.push(parts);
afterAll(() => {
  console.warn = warn;
});

describe('the wasm engine', () => {
  it('gives the native engine’s values and gradients to 1e-4, quietly', async () => {
    const native = await createEngine({ prefer: 'auto' });
    const expected = await sample(native);
    const wasm = await createEngine({ prefer: 'wasm' });
    expect(wasm.name).toBe('wasm');
    const actual = await sample(wasm);
    expect(actual).toHaveLength(1 + 5 * 7);
    const size = Math.hypot(...expected);
    expect(Math.hypot(...actual.map((v, i) => v - expected[i])) / size).toBeLessThan(1e-4);
    expect(wasm.tf.memory().numTensors).toBe(0);
    expect(noise).toEqual([]);
  });
});
