import type { Adapter } from '@errata/tensor';
import { describe, expect, it } from 'vitest';
import { findingsText } from './check.js';
import { candidates, engineChoice } from './engine-choice.js';
import { graphicsFinding } from './graphics.js';

const loads = { version: 'tfjs 4' };
const broken = { missing: 'no binding' };
const none: Adapter = { missing: 'no WebGPU adapter' };
const card: Adapter = { description: 'WebGPU (Dawn) on nvidia', software: false };
const software: Adapter = { description: 'SwiftShader, a software adapter', software: true };

const takenOf = (...given: Parameters<typeof candidates>) => candidates(...given).filter(({ taken }) => taken);
const reasonOf = (name: string, ...given: Parameters<typeof candidates>) =>
  candidates(...given).find((candidate) => candidate.name === name)?.reason;

describe('the choice of an engine', () => {
  it('takes what is asked for, and by itself native before wasm, never WebGPU', () => {
    expect(takenOf('auto', loads, card)).toMatchObject([{ name: 'native', reason: /best that loads/ }].map(matching));
    expect(takenOf('auto', broken, card)).toMatchObject([{ name: 'wasm', reason: /best that loads/ }].map(matching));
    expect(takenOf('webgpu', loads, card)).toMatchObject(
      [{ name: 'webgpu', reason: /asks for webgpu.*nvidia/ }].map(matching),
    );
    expect(takenOf('wasm', loads, none)).toMatchObject(
      [{ name: 'wasm', reason: /ERRATA_ENGINE asks for wasm/ }].map(matching),
    );
  });

  it('says of each other why it was not taken', () => {
    expect(reasonOf('native', 'auto', broken, none)).toBe('does not load: no binding');
    expect(reasonOf('webgpu', 'auto', loads, none)).toBe('no WebGPU adapter');
    expect(reasonOf('webgpu', 'auto', loads, software)).toMatch(/slower than the CPU/);
    expect(reasonOf('webgpu', 'auto', loads, card)).toMatch(/when asked for: ERRATA_ENGINE=webgpu/);
    expect(reasonOf('webgpu', 'webgpu', loads, software)).toMatch(/not taken for a model/);
    expect(reasonOf('webgpu', 'webgpu', loads, software, 'matrices')).toMatch(/asks for webgpu/);
    expect(reasonOf('wasm', 'auto', loads, none)).toMatch(/slower than native/);
  });

  it('refuses a word that no service takes', () => {
    expect(engineChoice(undefined)).toBe('auto');
    expect(engineChoice('')).toBe('auto');
    expect(() => engineChoice('cuda')).toThrow('"cuda" is none of auto, native, webgpu, wasm');
  });
});

it('the next step towards a card is named where there is one', () => {
  const usable = { found: 'H100' };
  const without = { found: 'no NVIDIA driver', missing: 'Install it.' };
  expect(graphicsFinding(usable, none, {}).remedy).toContain('npm run setup -- --cuda');
  expect(graphicsFinding(without, card, {}).remedy).toContain('ERRATA_ENGINE=webgpu');
  expect(graphicsFinding(without, card, { ERRATA_ENGINE: 'webgpu' }).remedy).toBeUndefined();
  expect(graphicsFinding(without, software, {}).remedy).toBeUndefined();
  expect(graphicsFinding(without, none, { ERRATA_CUDA: '1' }).remedy).toBe('Install it.');
});

it('people read the candidates below the engine', () => {
  const text = findingsText([
    {
      name: 'engine',
      state: 'ok',
      detail: 'native',
      candidates: [
        { name: 'native', taken: true, reason: 'loads' },
        { name: 'wasm', taken: false, reason: 'slower' },
      ],
      remedy: 'nothing',
    },
  ]);
  expect(text.split('\n')).toEqual([
    '✓ engine  native',
    '          • native: loads',
    '          · wasm: slower',
    '          → nothing',
  ]);
});

function matching({ name, reason }: { name: string; reason: RegExp }) {
  return { name, reason: expect.stringMatching(reason) };
}
