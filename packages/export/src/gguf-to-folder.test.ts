import type { GgufFiles } from '@errata/model';
import { architectureOf, folderConfigOf, openFolderWeights } from '@errata/model';
import { architectureNames, folderOf, ggufOf, hasGguf } from '@errata/model/architecture-testing';
import { describe, expect, it } from 'vitest';
import { ggufTensorPlans } from './gguf-to-folder.js';

const isMask = /\.attn\.bias$/;

/** Files of GPT-2 leave the root out, as the published ones do; newer ones of GPT-NeoX call the unembedding lm_head. */
const published = (name: string, tensor: string): string => {
  if (name.startsWith('gptneox') && tensor === 'lm_head.weight') return 'embed_out.weight';
  return /^(h\.|ln_f|wpe|wte)/.test(tensor) ? `transformer.${tensor}` : tensor;
};

describe.each(architectureNames.filter(hasGguf))('%s', (name) => {
  it('has the tensors of its folder: names, shapes and values', async () => {
    const files = (await ggufOf(name)) as GgufFiles;
    const folder = await folderOf(name);
    const plans = ggufTensorPlans(architectureOf(files), files);
    const weights = await openFolderWeights(folder.path);
    const stored = new Map(
      [...weights.tensors.keys()]
        .filter((tensor) => !isMask.test(tensor))
        .map((tensor) => [published(name, tensor), tensor]),
    );
    expect(plans.map((plan) => plan.name).sort()).toEqual([...stored.keys()].sort());
    for (const plan of plans) {
      const tensor = stored.get(plan.name) as string;
      expect([plan.name, plan.shape]).toEqual([plan.name, weights.tensors.get(tensor)?.shape]);
      const { values } = await plan.load();
      const wanted = weights.read(tensor);
      // Norms of Gemma are stored with one added: fp32 rounds their sum.
      for (let i = 0; i < wanted.length; i++) expect(Math.abs(values[i] - wanted[i])).toBeLessThanOrEqual(2.5e-7);
    }
  });

  it('has a configuration that describes the same model', async () => {
    const files = (await ggufOf(name)) as GgufFiles;
    const folder = await folderOf(name);
    const config = folderConfigOf(architectureOf(files), files);
    const written = architectureOf({ ...folder, config }).config;
    const { name: _, rotary, normEpsilon, ...wanted } = architectureOf(folder).config;
    expect(written).toMatchObject(wanted);
    expect(written.normEpsilon).toBeCloseTo(normEpsilon, 10);
    for (const kind of new Set(wanted.attention))
      rotary[kind]?.frequencies.forEach((frequency, i) => {
        expect(written.rotary[kind]?.frequencies[i]).toBeCloseTo(frequency, 4);
      });
  });
});
