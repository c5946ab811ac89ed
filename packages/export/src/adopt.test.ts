import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { architectureOf } from '@errata/model';
import { folderOf, ggufOf } from '@errata/model/architecture-testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAdapter } from './adapter-reader.js';
import { exportTo, sourceOf, temporaryRoot } from './testing/edited.js';

let root: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ root, remove } = await temporaryRoot());
});
afterEach(() => remove());

describe('an adapter that is read again', () => {
  it.each(['llama3', 'gpt2', 'gptj', 'gptneox', 'gemma3'] as const)(
    'is the factors it was made of (%s)',
    async (name) => {
      const source = sourceOf(await folderOf(name));
      const { path } = await exportTo(root, name, source, { format: 'peft' });
      expect(await readAdapter(path, source.architecture)).toEqual(source.layers);
    },
  );

  it('gives the bytes of the merged export of its stream', async () => {
    const source = sourceOf(await folderOf('llama3'));
    const { path } = await exportTo(root, 'adapter', source, { format: 'peft' });
    const layers = await readAdapter(path, source.architecture);
    const direct = await exportTo(root, 'direct', source, { format: 'safetensors' });
    const adopted = await exportTo(root, 'adopted', { ...source, layers }, { format: 'safetensors' });
    expect(adopted.manifest.files).toEqual(direct.manifest.files);
  });

  it('fits the same model in a GGUF file', async () => {
    const { path } = await exportTo(root, 'adapter', sourceOf(await folderOf('llama3')), { format: 'peft' });
    expect((await readAdapter(path, architectureOf(await ggufOf('llama3')))).map(({ layer }) => layer)).toEqual([1, 2]);
  });

  it('has its scaling applied, by module where patterns say so', async () => {
    const source = sourceOf(await folderOf('llama3'), 4);
    const { path } = await exportTo(root, 'scaled', source, { format: 'peft' });
    const file = join(path, 'adapter_config.json');
    const config = JSON.parse(await readFile(file, 'utf8'));
    const pattern = { [config.target_modules[1].replace('model.', '')]: 2 };
    await writeFile(file, JSON.stringify({ ...config, lora_alpha: 8, alpha_pattern: pattern }));
    const [first, second] = await readAdapter(path, source.architecture);
    expect(first.b).toEqual(source.layers[0].b.map((x) => 2 * x));
    expect(second.b).toEqual(source.layers[1].b.map((x) => x / 2));
  });

  it.each([
    [{ peft_type: 'LOHA' }, 'not LORA'],
    [{ use_dora: true }, 'use_dora'],
    [{ bias: 'all' }, 'biases'],
    [{ lora_alpha: 'much' }, 'not a number'],
  ])('is refused where %j', async (change, reason) => {
    const source = sourceOf(await folderOf('llama3'));
    const { path } = await exportTo(root, 'refused', source, { format: 'peft' });
    const file = join(path, 'adapter_config.json');
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...change }));
    await expect(readAdapter(path, source.architecture)).rejects.toMatchObject({
      code: 'ADAPTER_REFUSED',
      message: expect.stringContaining(reason),
    });
  });

  it('is refused on a model of another family or size', async () => {
    const { path } = await exportTo(root, 'other', sourceOf(await folderOf('llama3')), { format: 'peft' });
    for (const name of ['gpt2', 'gptneox'] as const)
      await expect(readAdapter(path, architectureOf(await folderOf(name)))).rejects.toMatchObject({
        code: 'ADAPTER_REFUSED',
      });
  });
});
