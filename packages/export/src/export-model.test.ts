import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { disposeModel, openFolderWeights, openModelFiles, openSafetensors } from '@errata/model';
import {
  architectureNames,
  difference,
  expectedOf,
  folderOf,
  ggufOf,
  hasGguf,
  load,
  runWhole,
} from '@errata/model/architecture-testing';
import { createEngine, type Engine } from '@errata/tensor';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ExportFolder } from './export-folder.js';
import { exportModel } from './export-model.js';
import { deltasOf, exportTo, identity, sourceOf, temporaryRoot } from './testing/edited.js';

let engine: Engine;
let root: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  engine = await createEngine();
});
beforeEach(async () => {
  ({ root, remove } = await temporaryRoot());
});
afterEach(() => remove());

describe.each(architectureNames)('%s', (name) => {
  it('answers as the edited model when its merged export is loaded', async () => {
    const source = sourceOf(await folderOf(name));
    const expected = expectedOf(name);
    const base = await load(engine, source.files);
    const edited = await runWhole(base, expected, deltasOf(base, source.layers));
    expect(difference(edited.logits, expected.logits)).toBeGreaterThan(0.01);
    const { path, manifest } = await exportTo(root, 'merged', source, { format: 'safetensors', shardBytes: 20_000 });
    expect(manifest.files.filter((file) => file.name.endsWith('.safetensors')).length).toBeGreaterThan(1);
    expect(manifest.layers.map(({ layer }) => layer)).toEqual([1, 2]);
    expect(manifest.relativeError).toBeLessThan(1e-6);
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
    const weights = await openFolderWeights(path);
    const merged = await load(engine, { ...(await folderOf(name)), path, config, weights });
    const { logits } = await runWhole(merged, expected);
    expect(difference(logits, edited.logits)).toBeLessThan(1e-5);
    disposeModel(base);
    disposeModel(merged);
  });

  it.runIf(hasGguf(name)).each(['fp32', 'fp16', 'q8_0'] as const)(
    'is edited within its GGUF file, as %s',
    async (dtype) => {
      const source = sourceOf(await ggufOf(name));
      if (dtype === 'q8_0' && source.architecture.config.intermediateSize % 32 !== 0) return;
      const expected = expectedOf(name);
      const base = await load(engine, source.files);
      const edited = await runWhole(base, expected, deltasOf(base, source.layers));
      const { path, manifest } = await exportTo(root, 'gguf', source, { format: 'gguf', dtype });
      const model = await load(engine, await openModelFiles(join(path, manifest.files[0].name)));
      const { logits } = await runWhole(model, expected);
      expect(difference(logits, edited.logits)).toBeLessThan({ fp32: 1e-5, fp16: 5e-3, q8_0: 0.1 }[dtype]);
      disposeModel(base);
      disposeModel(model);
    },
  );

  it('is an adapter of the factors themselves', async () => {
    const source = sourceOf(await folderOf(name));
    const { path, manifest } = await exportTo(root, 'adapter', source, { format: 'peft' });
    expect(manifest.relativeError).toBe(0);
    const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({ r: 5, lora_alpha: 5, rank_pattern: {}, peft_type: 'LORA' });
    const file = openSafetensors(join(path, 'adapter_model.safetensors'));
    expect(file.tensors.size).toBe(4);
    for (const [i, module] of config.target_modules.entries())
      expect(file.read(`base_model.model.${module}.lora_A.weight`)).toEqual(source.layers[i].g);
  });
});

describe('a folder', () => {
  it('has the same bytes each time, the manifest included', async () => {
    const source = sourceOf(await folderOf('llama3'));
    const digests = [];
    for (const name of ['one', 'two']) {
      const { path, manifest } = await exportTo(root, name, source, { format: 'safetensors', dtype: 'bf16' });
      for (const { name: file, sha256, bytes } of manifest.files) {
        const content = await readFile(join(path, file));
        expect([content.length, createHash('sha256').update(content).digest('hex')]).toEqual([bytes, sha256]);
      }
      expect((await readdir(path)).sort()).toEqual(
        [...manifest.files.map((file) => file.name), 'manifest.json'].sort(),
      );
      digests.push(await readFile(join(path, 'manifest.json'), 'utf8'));
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('is taken for what it is when it is there, and never replaced', async () => {
    const source = sourceOf(await folderOf('llama3'));
    const { manifest } = await exportTo(root, 'same', source, { format: 'peft' });
    expect((await exportTo(root, 'same', source, { format: 'peft' })).manifest).toEqual(manifest);
    await expect(exportTo(root, 'same', source, { format: 'safetensors' })).rejects.toMatchObject({
      code: 'EXPORT_EXISTS',
    });
    await mkdir(join(root, 'mine'));
    await writeFile(join(root, 'mine', 'notes.txt'), 'mine');
    await expect(exportTo(root, 'mine', source, { format: 'peft' })).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    expect(await readdir(join(root, 'mine'))).toEqual(['notes.txt']);
  });

  it('goes on at the file an earlier run had not finished, and ends with the same bytes', async () => {
    const plain = sourceOf(await folderOf('llama3'));
    const whole = await exportTo(root, 'whole', plain, { format: 'safetensors', shardBytes: 20_000 });
    const reads: string[] = [];
    const files = await folderOf('llama3');
    const watched = {
      ...plain,
      files: {
        ...files,
        weights: {
          ...files.weights,
          read: (name: string, out?: Float32Array) => {
            reads.push(name);
            if (reads.length === 30) throw new Error('killed');
            return files.weights.read(name, out);
          },
        },
      },
    };
    const again = () => exportTo(root, 'resumed', watched, { format: 'safetensors', shardBytes: 20_000 });
    await expect(again()).rejects.toThrow('killed');
    expect(await readdir(root)).toEqual(['.resumed.exp_1.partial', 'whole']);
    const { manifest } = await again();
    expect(reads.length).toBeLessThan(2 * files.weights.tensors.size);
    expect(manifest).toEqual(whole.manifest);
    expect((await readdir(root)).sort()).toEqual(['resumed', 'whole']);
  });

  it('stops where it is told to, and is gone when it is discarded', async () => {
    const stop = new AbortController();
    const source = {
      ...sourceOf(await folderOf('llama3')),
      pause: async () => stop.signal.throwIfAborted(),
    };
    const folder = new ExportFolder(root, 'stopped', 'exp_2');
    const options = { format: 'safetensors', dtype: 'fp32', maxRank: 8, shardBytes: 20_000 } as const;
    const running = exportModel(source, identity, options, folder, () => stop.abort(new Error('cancelled')));
    await expect(running).rejects.toThrow('cancelled');
    expect(await folder.published()).toBeNull();
    await folder.discard();
    expect(await readdir(root)).toEqual([]);
  });

  it('is refused before a byte is written when the disk has no room for it', async () => {
    const folder = new ExportFolder(root, 'large', 'exp_3');
    await expect(folder.begin(1e18)).rejects.toMatchObject({ code: 'DISK_FULL' });
  });
});
