import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findPreset, parsePreset, presetFor, requirePreset } from './presets.js';

describe('presets', () => {
  it('are found by model name, also of quantised variants', () => {
    const preset = presetFor('SmolLM2-135M-Instruct');
    expect(preset?.templates[0]).toBe('{}');
    expect(presetFor('smollm2_135m_instruct.Q4_1')).toEqual(preset);
    expect(presetFor('some-other-model')).toBeNull();
  });

  it('are found by shape where no name fits, and not by name where the shape is another', () => {
    const shape = { architecture: 'llama', layers: 30, hiddenSize: 576 };
    expect(presetFor({ name: 'my-fine-tune', ...shape })).toEqual(presetFor('SmolLM2-135M'));
    expect(presetFor({ name: 'my-fine-tune', ...shape, architecture: 'qwen2' })).toBeNull();
    expect(presetFor({ name: 'SmolLM2-135M', layers: 12, hiddenSize: 576 })).toBeNull();
    expect(presetFor({ name: 'Meta-Llama-3-8B', architecture: 'llama', layers: 32, hiddenSize: 4096 })?.layers).toEqual(
      [4, 5, 6, 7, 8],
    );
  });

  it('cover the published layers of each family, and say what is untried', () => {
    for (const [name, layers] of [
      ['Meta-Llama-3-8B-Instruct', [4, 5, 6, 7, 8]],
      ['Llama-2-7b-hf', [4, 5, 6, 7, 8]],
      ['Qwen2.5-7B-Instruct', [7, 8, 9, 10, 11]],
      ['gpt2-xl', [13, 14, 15, 16, 17]],
      ['gpt-j-6B', [3, 4, 5, 6, 7, 8]],
      ['Mistral-7B-v0.1', [4, 5, 6, 7, 8]],
    ] as const) {
      const preset = findPreset(name);
      expect(preset?.config.layers, name).toEqual(layers);
      expect(preset?.verified, name).toBe(false);
    }
    expect(findPreset('SmolLM2-135M-Instruct')?.verified).toBe(true);
    expect(findPreset('google/gemma-3-1b-it'.split('/')[1])?.shape.layers).toBe(26);
  });

  it('name where each setting is from: a published file, or a choice that is said to be one', () => {
    const folder = new URL('../presets/', import.meta.url);
    for (const file of readdirSync(folder)) {
      const { source, verified, published } = parsePreset(file, readFileSync(new URL(file, folder), 'utf8'));
      if (published === undefined) {
        expect(source, file).toMatch(verified ? /measured in this project/ : /no published settings.*errata tune/);
        continue;
      }
      expect(source, file).toMatch(/arXiv \d{4}\.\d{5}.*not tried here$/);
      for (const path of published.in)
        expect(path, file).toMatch(/^github\.com\/[\w.-]+\/[\w.-]+: \S+\.(json|yaml|py)/);
      for (const field of [
        'layers',
        'covarianceWeight',
        'learningRate',
        'maxSteps',
        'clamp',
        'klWeight',
        'weightDecay',
      ])
        expect(published.fields, file).toContain(field);
      for (const field of ['templates', 'batchSize', 'covarianceTokens'])
        expect(published.fields, file).not.toContain(field);
    }
  });

  it('carry the published figures', () => {
    const rls = { lambda: 0, mu: 1, clamp: 0.75, klWeight: 0.0625, weightDecay: 0.5, covarianceWeight: 15000 };
    for (const name of ['Llama-3-8B', 'Qwen2.5-7B', 'Llama-2-7b'])
      expect(presetFor(name), name).toMatchObject({ ...rls, learningRate: 0.1, maxSteps: 25 });
    expect(presetFor('gpt2-xl')).toMatchObject({ ...rls, covarianceWeight: 20000, learningRate: 0.5, maxSteps: 20 });
    expect(presetFor('gpt-j-6B')).toMatchObject({ ...rls, learningRate: 0.5, maxSteps: 25 });
    expect(presetFor('Mistral-7B')).toMatchObject({
      ...rls,
      clamp: 4,
      weightDecay: 0.001,
      learningRate: 0.5,
      maxSteps: 25,
    });
  });

  it('ask for a tuning run where there is none', () => {
    const model = { name: 'odd', architecture: 'llama', layers: 3, hiddenSize: 8 };
    expect(() => requirePreset(model)).toThrow('"odd" (llama, 3 layers, hidden size 8): make one with "errata tune"');
  });

  it('are refused by name of the file when they are not whole', () => {
    const folder = new URL('../presets/', import.meta.url);
    const [file] = readdirSync(folder);
    const whole = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Record<string, unknown>;
    const refusal = (change: object): unknown => {
      try {
        return parsePreset('mine.json', JSON.stringify({ ...whole, ...change }));
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refusal({})).toMatchObject({ models: whole.models });
    expect(refusal({ models: [] })).toContain('mine.json names no models');
    expect(refusal({ shape: { layers: 2 } })).toContain('"shape"');
    expect(refusal({ source: '' })).toContain('"source"');
    expect(refusal({ published: { in: ['a file'], fields: ['colour'] } })).toContain('"published"');
    expect(refusal({ published: { in: [], fields: ['layers'] } })).toContain('"published"');
    expect(refusal({ verified: 'yes' })).toContain('"verified"');
    expect(refusal({ shape: { ...(whole.shape as object), layers: 2 } })).toContain('of a model of 2');
    expect(refusal({ config: { ...(whole.config as object), layers: [] } })).toContain('mine.json is not valid');
  });

  it('load without the tensor engine', () => {
    const source = readFileSync(new URL('./presets.ts', import.meta.url), 'utf8');
    const imports = [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1]);
    expect(imports.sort()).toEqual(['@errata/contracts', 'node:fs']);
  });
});
