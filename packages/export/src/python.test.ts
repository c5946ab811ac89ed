import { join } from 'node:path';
import { disposeModel, type ModelFiles, openModelFiles } from '@errata/model';
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
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deltasOf, exportTo, sourceOf, temporaryRoot } from './testing/edited.js';
import { startPython } from './testing/python.js';

const tolerance = 1e-3;

const python = await startPython();
if (python.missing !== null)
  console.warn(
    `exports are not loaded in Python: ${python.missing}. ERRATA_PYTHON names a Python with torch, transformers, peft, safetensors and gguf`,
  );

let engine: Engine;
let root: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  engine = await createEngine();
  ({ root, remove } = await temporaryRoot());
});
afterAll(async () => {
  python.close();
  await remove();
});

async function editedLogits(files: ModelFiles, rank: number, rows: number[][]): Promise<Float32Array> {
  const model = await load(engine, files);
  const { logits } = await runWhole(
    model,
    { rows, downInputs: new Map() },
    deltasOf(model, sourceOf(files, rank).layers),
  );
  disposeModel(model);
  return logits;
}

describe.skipIf(python.missing !== null).each(architectureNames)('%s', (name) => {
  const { rows } = expectedOf(name);

  it('has the logits of this runtime as an adapter in peft and merged in transformers', async () => {
    const files = await folderOf(name);
    const wanted = await editedLogits(files, 5, rows);
    const { path: adapter } = await exportTo(root, `${name}-adapter`, sourceOf(files), { format: 'peft' });
    const { path: merged } = await exportTo(root, `${name}-merged`, sourceOf(files), {
      format: 'safetensors',
      shardBytes: 20_000,
    });
    const found = await python.check({ base: files.path, adapter, merged, rows });
    expect(difference(found.adapter, wanted)).toBeLessThan(tolerance);
    expect(difference(found.merged, wanted)).toBeLessThan(tolerance);
  });

  it.runIf(hasGguf(name))('is read from GGUF by the gguf package, all other tensors as they were', async () => {
    const files = await ggufOf(name);
    const { path, manifest } = await exportTo(root, `${name}-gguf`, sourceOf(files), { format: 'gguf', dtype: 'fp16' });
    const gguf = join(path, manifest.files[0].name);
    const [before, after] = [await python.check({ gguf: files.path, rows }), await python.check({ gguf, rows })];
    const edited = Object.keys(after.gguf).filter((tensor) => after.gguf[tensor].sha256 !== before.gguf[tensor].sha256);
    expect(edited).toEqual(['blk.1.ffn_down.weight', 'blk.2.ffn_down.weight']);
    for (const tensor of edited) expect(after.gguf[tensor].type).toBe('F16');
    const model = await openModelFiles(gguf);
    expect([...model.weights.tensors.keys()]).toEqual(Object.keys(after.gguf));
  });
});
