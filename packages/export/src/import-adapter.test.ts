import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Model } from '@errata/contracts';
import { folderOf } from '@errata/model/architecture-testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adapterFiles } from './adapter.js';
import { manifestName } from './export-folder.js';
import { readImport } from './import-adapter.js';
import { exportTo, sourceOf, temporaryRoot } from './testing/edited.js';

let root: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ root, remove } = await temporaryRoot());
});
afterEach(() => remove());

/** A peft export, and the model it is of as the database knows it. */
async function exported(rank?: number, options: { removals?: number; dtype?: 'fp16'; maxRank?: number } = {}) {
  const { removals = 0, ...rest } = options;
  const source = sourceOf(await folderOf('llama3'), rank);
  const layers = source.layers.map((layer) => ({ ...layer, removals }));
  const { path, manifest } = await exportTo(root, 'adapter', { ...source, layers }, { format: 'peft', ...rest });
  const { layers: depth, hiddenSize, intermediateSize } = source.architecture.config;
  const { id, name, architecture } = manifest.model;
  const model: Model = { id, name, architecture, layers: depth, hiddenSize, intermediateSize };
  return { path, manifest, model, layers };
}

const refused = (reason: string) => ({ code: 'ADAPTER_REFUSED', message: expect.stringContaining(reason) });

async function change(path: string, edit: (config: Record<string, unknown>) => object): Promise<void> {
  const file = join(path, adapterFiles.config);
  await writeFile(file, JSON.stringify(edit(JSON.parse(await readFile(file, 'utf8')))));
}

/** The files without the manifest: what others would send. */
async function foreign(path: string): Promise<string> {
  const folder = join(root, 'foreign');
  await mkdir(folder);
  for (const name of Object.values(adapterFiles)) await copyFile(join(path, name), join(folder, name));
  return folder;
}

describe('an adapter to be imported', () => {
  it('is own where it is an exact export of a log that took nothing out', async () => {
    const { path, manifest, model, layers } = await exported();
    const read = await readImport(path, model);
    expect(read.layers).toEqual(layers.map(({ removals: _, ...layer }) => layer));
    const { stream, seq, logHash } = manifest;
    expect(read).toMatchObject({ own: true, origin: { streamId: stream.id, name: stream.name, seq, logHash } });
    expect(await readImport(await foreign(path), model)).toMatchObject({ own: false, origin: null });
  });

  it.each([
    ['rounded', { dtype: 'fp16' as const }],
    ['cut to a rank', { maxRank: 1 }],
    ['of a log with revocations', { removals: 1 }],
  ])('is foreign where it is %s', async (_, options) => {
    const { path, model } = await exported(4, options);
    expect(await readImport(path, model)).toMatchObject({ own: false, origin: { seq: expect.any(Number) } });
  });

  it('is refused on another base, and where its files are not those of the manifest', async () => {
    const { path, model } = await exported();
    await expect(readImport(path, { ...model, id: 'sha256:other' })).rejects.toMatchObject(refused('not from'));
    await change(path, (config) => ({ ...config, lora_alpha: 99 }));
    await expect(readImport(path, model)).rejects.toMatchObject(refused('changed or cut short'));
    await writeFile(join(path, manifestName), '{"version": 2}');
    await expect(readImport(path, model)).rejects.toMatchObject(refused('not that of an export'));
  });

  it('is refused where it is truncated, or is none', async () => {
    const { path, model } = await exported();
    const folder = await foreign(path);
    const { size } = await readFile(join(folder, adapterFiles.weights)).then((bytes) => ({ size: bytes.length }));
    for (const length of [size - 1, 40, 0]) {
      await truncate(join(folder, adapterFiles.weights), length);
      const failure = await readImport(folder, model).catch((error: Error) => error);
      expect(failure).toMatchObject(refused('cannot be read'));
      expect(String(failure)).not.toContain(root);
    }
    await writeFile(join(folder, adapterFiles.config), '[');
    await expect(readImport(folder, model)).rejects.toMatchObject(refused('no JSON object'));
    await expect(readImport(root, model)).rejects.toMatchObject(refused('has no adapter_config.json'));
  });

  it('has the scaling of rank-stabilised LoRA, and is refused as DoRA', async () => {
    const { path, model, layers } = await exported(4);
    const folder = await foreign(path);
    await change(folder, (config) => ({ ...config, lora_alpha: 4, use_rslora: true }));
    const { layers: read } = await readImport(folder, model);
    expect(read[0].b).toEqual(layers[0].b.map((x) => Math.fround(2 * x)));
    await change(folder, (config) => ({ ...config, use_dora: true }));
    await expect(readImport(folder, model)).rejects.toMatchObject(refused('use_dora'));
  });

  it('is refused for a model of unknown kind, other sizes or fewer layers', async () => {
    const { path, model } = await exported();
    const folder = await foreign(path);
    await expect(readImport(folder, { ...model, architecture: 'mamba' })).rejects.toMatchObject(refused('not known'));
    await expect(readImport(folder, { ...model, hiddenSize: 8 })).rejects.toMatchObject(refused('of shape'));
    await expect(readImport(folder, { ...model, layers: 2 })).rejects.toMatchObject(refused('the model has 2'));
  });
});
