import Module from 'node:module';
import { afterAll, expect, it } from 'vitest';
import { createEngine } from './index.js';

// What a machine without a compiler has: the package is there, its binding is not.
const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
const load = loader._load;
loader._load = (request, ...rest) => {
  if (request.endsWith('tfjs_binding.node')) throw new Error(`cannot open ${request}`);
  return load.call(loader, request, ...rest);
};
afterAll(() => {
  loader._load = load;
});

it('falls back to wasm with the reason, and says what to do when native was demanded', async () => {
  await expect(createEngine({ prefer: 'native' })).rejects.toThrow('npm run setup');
  const engine = await createEngine();
  expect(engine.name).toBe('wasm');
  expect(engine.fallbackReason).toBeTruthy();
  const { tf } = engine;
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([1, 1], [2, 1])));
  expect([...(await product.data())]).toEqual([3, 7]);
  product.dispose();
});
