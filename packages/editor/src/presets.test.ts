import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { presetFor } from './presets.js';

describe('presets', () => {
  it('are found by model name, also of quantised variants', () => {
    const preset = presetFor('SmolLM2-135M-Instruct');
    expect(preset?.templates[0]).toBe('{}');
    expect(presetFor('smollm2_135m_instruct.Q4_1')).toEqual(preset);
    expect(presetFor('some-other-model')).toBeNull();
  });

  it('load without the tensor engine', () => {
    const source = readFileSync(new URL('./presets.ts', import.meta.url), 'utf8');
    const imports = [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1]);
    expect(imports.sort()).toEqual(['@errata/contracts', 'node:fs']);
  });
});
