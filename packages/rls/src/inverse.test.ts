import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import { CONDITION_LIMIT, createInverse, FP32_REFUSAL_LIMIT } from './inverse.js';
import { squareOf } from './panel-products.js';
import type { RlsParts } from './parts.js';
import { availableParts, difference, random } from './testing/states.js';

let engines: readonly RlsParts[];
let parts: RlsParts;
beforeAll(async () => {
  engines = await availableParts();
  parts = engines[0];
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

const d = 20;
/** A diagonal second moment from 1 down to 1/condition. */
function moment(condition: number): Float32Array {
  const m = new Float32Array(d * d);
  for (let i = 0; i < d; i++) m[i * d + i] = condition ** (-i / (d - 1));
  return m;
}
const source = (condition: number, lambda = 0) => ({
  lambda,
  mu: 1,
  covarianceWeight: 2,
  moment: moment(condition),
  dimension: d,
});
const illConditioned = expect.objectContaining({ code: 'ILL_CONDITIONED' });

describe('the inverse covariance', () => {
  it('is the inverse, of the same A₀ from keys and from their second moment', async () => {
    const anchorKeys = random(d, 50, 3);
    const second = parts.linalg.matmul(
      { rows: 50, columns: d, data: anchorKeys.data },
      { rows: 50, columns: d, data: anchorKeys.data },
      { transposeA: true },
    );
    for (const which of engines) {
      const keys = await createInverse(which, { lambda: 0.3, mu: 0.5, anchorKeys });
      const other = await createInverse(which, {
        lambda: 0.3,
        mu: 0.5,
        covarianceWeight: 2,
        moment: second.map((x) => x / 2),
        dimension: d,
      });
      const a = await squareOf(d, keys.a0.panels());
      const c = await squareOf(d, keys.c0.panels());
      expect(difference(await squareOf(d, other.c0.panels()), c) / norm(c)).toBeLessThan(1e-12);
      const square = (data: Float64Array) => ({ rows: d, columns: d, data });
      const identity = which.linalg.matmul(square(a), square(c));
      for (let i = 0; i < d; i++) identity[i * d + i] -= 1;
      expect(norm(identity)).toBeLessThan(1e-11);
      expect(keys.trace).toBeCloseTo(
        c.reduce((sum, x, i) => (i % (d + 1) === 0 ? sum + x : sum), 0),
        10,
      );
    }
  });

  it('keeps an fp32 moment exactly where C is fp32', async () => {
    const inverse = await createInverse(parts, source(1e3, 0.1), { precision: 'fp32' });
    const a = await squareOf(d, inverse.a0.panels());
    const exact = moment(1e3);
    for (let i = 0; i < d; i++) expect(a[i * d + i]).toBe(2 * exact[i * d + i] + 0.1 * 0.1);
    expect(inverse.bytes).toBe(2 * 4 * d * d);
  });

  it.each<[string, number, { precision?: 'fp32' }, number, 'condition' | 'meanCondition']>([
    ['fp64', 1e12, {}, CONDITION_LIMIT, 'condition'],
    ['fp32', 1e7, { precision: 'fp32' }, FP32_REFUSAL_LIMIT, 'meanCondition'],
  ])(
    '%s: what is too ill-conditioned is refused by name, or λ is raised just enough',
    async (_, condition, options, limit, figure) => {
      await expect(createInverse(parts, source(condition), options)).rejects.toThrowError(illConditioned);
      const raised = await createInverse(parts, source(condition), { ...options, policy: 'raise-lambda' });
      expect(raised.requestedLambda).toBe(0);
      expect(raised.lambda).toBe(Number(raised.lambda.toPrecision(2)));
      expect(raised[figure]).toBeLessThanOrEqual(limit);
      expect(raised[figure]).toBeGreaterThan(limit / 2);
    },
  );

  it('raises λ for a singular A₀', async () => {
    const singular = { lambda: 0, mu: 1, anchorKeys: random(d, 5, 3) };
    await expect(createInverse(parts, singular)).rejects.toThrowError(illConditioned);
    const raised = await createInverse(parts, singular, { policy: 'raise-lambda' });
    expect(raised.lambda).toBeGreaterThan(0);
    expect(raised.condition).toBeLessThanOrEqual(CONDITION_LIMIT);
  });

  it('raises λ above what rounding has done to a singular second moment in fp32', async () => {
    // Pairs of inputs that are equal, but for the last bit of one entry: λ_min is −2⁻²⁴.
    const rounded = new Float32Array(d * d);
    for (let i = 0; i < d; i++) {
      rounded[i * d + i] = i % 2 === 0 ? 1 : 1 - 2 ** -23;
      rounded[i * d + (i ^ 1)] = 1;
    }
    const singular = { lambda: 0, mu: 1, covarianceWeight: 1, moment: rounded, dimension: d };
    const raised = await createInverse(parts, singular, { policy: 'raise-lambda' });
    expect(raised.condition).toBeLessThanOrEqual(CONDITION_LIMIT);
    // What the condition number alone asks for would leave A₀ indefinite.
    expect(raised.lambdaMax / CONDITION_LIMIT).toBeLessThan(2 ** -24);
    expect(raised.lambda ** 2).toBeGreaterThan(2 ** -24);
  });

  it('gives all shares the same conditioning', async () => {
    const [first, second] = [
      await createInverse(parts, source(1e4), { share: { index: 0, count: 2 } }),
      await createInverse(parts, source(1e4), { share: { index: 1, count: 2 } }),
    ];
    const whole = await createInverse(parts, source(1e4));
    expect(first.condition).toBe(second.condition);
    expect(first.condition / whole.condition).toBeCloseTo(1, 2);
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('told to'));
    await expect(createInverse(parts, source(10), { signal })).rejects.toThrowError('told to');
  });
});
