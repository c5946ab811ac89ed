import { jsLinearAlgebra } from '@errata/tensor';
import { expect, it } from 'vitest';
import { norm } from './columns.js';
import { changeNorm, type SignedFactors } from './distance.js';
import { random } from './testing/states.js';

const never = new AbortController().signal;

function dense(parts: readonly SignedFactors[], inputs: number, outputs: number): Float64Array {
  const sum = new Float64Array(inputs * outputs);
  for (const { sign, g, b } of parts)
    for (let k = 0; k < g.count; k++)
      for (let i = 0; i < outputs; i++)
        for (let j = 0; j < inputs; j++) sum[i * inputs + j] += sign * b.data[k * outputs + i] * g.data[k * inputs + j];
  return sum;
}

it.each([
  ['few columns', 3, 24, 16],
  ['more columns than a dense matrix is worth', 40, 24, 16],
  ['Gram matrices of more than one piece', 95, 700, 500],
  ['rows of more than one piece', 40, 30, 300],
])('is the norm of the difference: %s', async (_, count, inputs, outputs) => {
  const parts = ([1, -1, 1] as const).map((sign, i) => ({
    sign,
    g: random(inputs, count, i + 1),
    b: random(outputs, count, i + 11),
  }));
  const exact = norm(dense(parts, inputs, outputs));
  expect((await changeNorm(jsLinearAlgebra(), parts, never)) / exact).toBeCloseTo(1, 12);
});

it('is 0 for nothing, and next to nothing for what cancels', async () => {
  expect(await changeNorm(jsLinearAlgebra(), [], never)).toBe(0);
  const [g, b] = [random(24, 3, 1), random(16, 3, 2)];
  const parts = [
    { sign: 1, g, b },
    { sign: -1, g, b },
  ] as const;
  const one = await changeNorm(jsLinearAlgebra(), parts.slice(0, 1), never);
  expect((await changeNorm(jsLinearAlgebra(), parts, never)) / one).toBeLessThan(1e-7);
});

it('ends when it is told to', async () => {
  const parts = [{ sign: 1, g: random(24, 3, 1), b: random(16, 3, 2) }] as const;
  await expect(changeNorm(jsLinearAlgebra(), parts, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
});
