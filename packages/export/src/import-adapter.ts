import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Adapter, ErrataError, type ExportManifest, exportManifestSchema, type Model } from '@errata/contracts';
import { families } from '@errata/model';
import { adapterFiles } from './adapter.js';
import { readAdapter } from './adapter-reader.js';
import { manifestName } from './export-folder.js';
import type { LayerFactors } from './factors.js';

/** Longest manifest.json that is read: ours have some thousand bytes. */
const maxManifestBytes = 1024 * 1024;

/** An adapter that a stream may begin with. */
export interface ImportedAdapter extends Pick<Adapter, 'own' | 'origin'> {
  readonly layers: readonly LayerFactors[];
}

/**
 * Reads the folder of a LoRA adapter of a model. One with the manifest of an export is held against it: the base has to
 * be the model, the files have to be those of the manifest.
 * @throws ADAPTER_REFUSED
 */
export async function readImport(folder: string, model: Model): Promise<ImportedAdapter> {
  const where = 'the adapter';
  const family = families.find(({ name }) => name === model.architecture);
  if (!family)
    throw new ErrataError('ADAPTER_REFUSED', `adapters of ${model.architecture} models are not known: ${model.name}`);
  const layers = await readAdapter(folder, { family, config: model }, where);
  if (layers.length === 0) throw new ErrataError('ADAPTER_REFUSED', `${where} changes nothing`);
  const manifest = await readManifest(folder);
  if (manifest === null) return { layers, own: false, origin: null };
  await holdAgainst(folder, manifest, model);
  const exact = manifest.dtype === 'fp32' && manifest.layers.every((layer) => layer.relativeError === 0);
  const kept = manifest.layers.every((layer) => layer.removals === 0);
  const { stream, seq, logHash } = manifest;
  return { layers, own: exact && kept, origin: { streamId: stream.id, name: stream.name, seq, logHash } };
}

async function readManifest(folder: string): Promise<ExportManifest | null> {
  const path = join(folder, manifestName);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return null;
  try {
    if (found.size > maxManifestBytes) throw new Error(`${found.size} bytes`);
    return exportManifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new ErrataError('ADAPTER_REFUSED', `${manifestName} is not that of an export: leave it out or export again`, {
      cause,
    });
  }
}

async function holdAgainst(folder: string, manifest: ExportManifest, model: Model): Promise<void> {
  if (manifest.format !== 'peft')
    throw new ErrataError('ADAPTER_REFUSED', `the folder holds an export as ${manifest.format}, not as peft`);
  if (manifest.model.id !== model.id)
    throw new ErrataError(
      'ADAPTER_REFUSED',
      `the adapter was exported from ${manifest.model.name} (${manifest.model.id}), not from ${model.name} (${model.id})`,
    );
  for (const name of Object.values(adapterFiles)) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(join(folder, name)), hash);
    if (manifest.files.find((file) => file.name === name)?.sha256 !== hash.digest('hex'))
      throw new ErrataError(
        'ADAPTER_REFUSED',
        `${name} is not the file that ${manifestName} names: it was changed or cut short since the export`,
      );
  }
}
