import { readdirSync, readFileSync } from 'node:fs';
import { createEngine, jsLinearAlgebra, type LinearAlgebra } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { runFixture } from './fixture.js';
import { type FixtureShape, generateFixture } from './testing/fixture-generator.js';

let native: LinearAlgebra;
beforeAll(async () => {
  native = (await createEngine()).linalg;
});

const folder = new URL('../fixtures/', import.meta.url);

describe('golden fixtures', () => {
  it.each(readdirSync(folder))('%s: W and C equal the closed form to 1e-5 at every listed step', (file) => {
    const fixture = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    for (const linalg of [native, jsLinearAlgebra()]) {
      const { cases, maxRelError } = runFixture(linalg, fixture);
      expect(cases).toBe(Object.keys(fixture.W).length + Object.keys(fixture.C).length);
      expect(maxRelError).toBeLessThan(1e-9);
    }
  });

  it('notices a wrong value', () => {
    const fixture = JSON.parse(readFileSync(new URL('rls_tiny_d8.json', folder), 'utf8'));
    fixture.C[5][0][0] *= 1.01;
    expect(runFixture(native, fixture).maxRelError).toBeGreaterThan(1e-4);
  });
});

const plain: FixtureShape = {
  d: 24,
  dout: 10,
  u: 3,
  steps: 15,
  anchors: 40,
  lambda: 0.5,
  mu: 1,
  keyScale: 1,
  spread: 1,
  foreignValues: false,
  seed: 1,
};

describe('generated fixtures', () => {
  it.each<[string, Partial<FixtureShape>, number]>([
    ['one column a batch', { u: 1, steps: 60 }, 1e-9],
    ['batches wider than d', { d: 6, u: 9, steps: 8 }, 1e-9],
    ['one input, one output', { d: 1, dout: 1, u: 1 }, 1e-9],
    ['more outputs than inputs', { d: 9, dout: 30 }, 1e-9],
    ['λ = 0', { lambda: 0 }, 1e-9],
    ['μ = 0', { mu: 0, anchors: 1 }, 1e-9],
    ['μ = 0, tiny λ, C falls by nine digits', { mu: 0, lambda: 1e-4, anchors: 1 }, 1e-6],
    ['V₀ other than W₀K₀', { foreignValues: true }, 1e-9],
    ['V₀ other than W₀K₀, λ = 0', { foreignValues: true, lambda: 0 }, 1e-9],
    ['large keys', { keyScale: 1e3 }, 1e-7],
    ['small keys', { keyScale: 1e-3 }, 1e-9],
    ['cond(A₀) ≈ 1e7', { lambda: 0, anchors: 200, spread: 10 ** 3.5 }, 1e-6],
    ['cond(A₀) ≈ 1e7, V₀ other than W₀K₀', { lambda: 0, anchors: 200, spread: 10 ** 3.5, foreignValues: true }, 1e-6],
    ['cond(A₀) ≈ 1e7, large keys', { lambda: 0, anchors: 200, spread: 10 ** 3.5, keyScale: 100 }, 1e-6],
    ['cond(A₀) ≈ 1e9', { lambda: 0, anchors: 200, spread: 10 ** 4.5 }, 1e-5],
    ['native dimensions, columns beyond d', { d: 150, dout: 40, u: 20, steps: 12, anchors: 170 }, 1e-9],
  ])('%s', (_, change, tolerance) => {
    const fixture = generateFixture({ ...plain, ...change });
    expect(runFixture(native, fixture).maxRelError).toBeLessThan(tolerance);
  });

  it('refuses by name what fp64 cannot invert', () => {
    for (const shape of [
      { ...plain, lambda: 0, anchors: 5 },
      { ...plain, lambda: 0, anchors: 200, spread: 10 ** 6.5 },
    ])
      expect(() => runFixture(native, generateFixture(shape))).toThrowError(
        expect.objectContaining({ code: 'ILL_CONDITIONED' }),
      );
  });
});
