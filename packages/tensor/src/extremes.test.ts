import { expect, it } from 'vitest';
import { largestEigenvalue, largestEigenvalueAsync } from './index.js';

it('finds the same eigenvalue whether the products come at once or later', async () => {
  const n = 300;
  const apply = (x: Float64Array) => x.map((v, i) => v * (1 + (i / n) ** 2 * 6));
  const exact = 1 + ((n - 1) / n) ** 2 * 6;
  const later = await largestEigenvalueAsync(n, async (x) => apply(x));
  expect(later).toBe(largestEigenvalue(n, apply));
  expect(Math.abs(later / exact - 1)).toBeLessThan(1e-4);
});

it('passes on what a product fails with', async () => {
  const failing = largestEigenvalueAsync(3, async () => {
    throw new Error('no product');
  });
  await expect(failing).rejects.toThrow('no product');
});
