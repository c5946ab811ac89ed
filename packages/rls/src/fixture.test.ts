import { readdirSync, readFileSync } from 'node:fs';
import { createEngine, createMatrixEngine, jsLinearAlgebra } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runFixture } from './fixture.js';
import type { RlsParts } from './parts.js';
import { type FixtureShape, generateFixture } from './testing/fixture-generator.js';

let parts: RlsParts;
let plainParts: RlsParts;
beforeAll(async () => {
  parts = { engine: await createMatrixEngine(), linalg: (await createEngine()).linalg };
  plainParts = { engine: await createMatrixEngine({ prefer: 'wasm' }), linalg: jsLinearAlgebra() };
});
afterAll(async () => {
  await parts.engine.dispose();
  await plainParts.engine.dispose();
});

const folder = new URL('../fixtures/', import.meta.url);

describe('golden fixtures', () => {
  it.each(readdirSync(folder))('%s: W and C equal the closed form to 1e-5 at every listed step', async (file) => {
    const fixture = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    for (const foldRank of [1, undefined, Number.POSITIVE_INFINITY])
      for (const which of [parts, plainParts]) {
        const { cases, maxRelError } = await runFixture(which, fixture, foldRank === undefined ? {} : { foldRank });
        expect(cases).toBe(Object.keys(fixture.W).length + Object.keys(fixture.C).length);
        expect(maxRelError).toBeLessThan(1e-9);
      }
    const { maxRelError } = await runFixture(parts, fixture, { precision: 'fp32' });
    // Forced: layers this small are kept in fp64. With μ = 0 all of C falls, and with it what fp32 holds of it.
    expect(maxRelError).toBeLessThan(file.includes('mu0') ? 1e-4 : 1e-5);
    // Zero would mean that fp64 was measured.
    expect(maxRelError).toBeGreaterThan(1e-9);
  });

  it('notices a wrong value', async () => {
    const fixture = JSON.parse(readFileSync(new URL('rls_tiny_d8.json', folder), 'utf8'));
    fixture.C[5][0][0] *= 1.01;
    expect((await runFixture(parts, fixture)).maxRelError).toBeGreaterThan(1e-4);
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
  ])('%s', async (_, change, tolerance) => {
    const fixture = generateFixture({ ...plain, ...change });
    for (const options of [{}, { foldRank: 1 }, { foldRank: Number.POSITIVE_INFINITY }])
      expect((await runFixture(parts, fixture, options)).maxRelError).toBeLessThan(tolerance);
  });

  it('refuses by name what fp64 cannot invert', async () => {
    for (const shape of [
      { ...plain, lambda: 0, anchors: 5 },
      { ...plain, lambda: 0, anchors: 200, spread: 10 ** 6.5 },
    ])
      await expect(runFixture(parts, generateFixture(shape))).rejects.toThrowError(
        expect.objectContaining({ code: 'ILL_CONDITIONED' }),
      );
  });

  it('refuses fp32 where fp64 is needed', async () => {
    const fixture = generateFixture({ ...plain, lambda: 0, anchors: 200, spread: 10 ** 3.5 });
    await expect(runFixture(parts, fixture, { precision: 'fp32' })).rejects.toThrowError(
      expect.objectContaining({ code: 'ILL_CONDITIONED' }),
    );
  });
});
