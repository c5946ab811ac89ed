import { basename, dirname } from 'node:path';
import type { ExportDtype, ExportManifest } from '@errata/contracts';
import { architectureOf, modelHash, openModelFiles, type Pause } from '@errata/model';
import { readAdapter } from './adapter-reader.js';
import { ExportFolder } from './export-folder.js';
import { type ExportProgress, exportModel } from './export-model.js';

/**
 * Makes a base model of its own out of a base and a LoRA adapter: the merged model in Hugging Face layout. Streams on it
 * continue where the adapter ends; to them W₀ is W₀ + B A, so that nothing in their log needs to know.
 * @param out the new folder
 * @throws ADAPTER_REFUSED, EXPORT_UNSUPPORTED, EXPORT_EXISTS, DISK_FULL
 */
export async function adoptAdapter(options: {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  readonly dtype: ExportDtype;
  readonly pause: Pause;
  readonly onProgress?: (progress: ExportProgress) => void;
}): Promise<ExportManifest> {
  const { model, adapter, out, dtype, pause, onProgress } = options;
  const files = await openModelFiles(model);
  const architecture = architectureOf(files);
  const layers = await readAdapter(adapter, architecture);
  const { name } = architecture.config;
  const identity = {
    model: { id: await modelHash(model), name, architecture: architecture.config.architecture },
    stream: { id: 'adopted', name: basename(adapter) },
    seq: 0,
    logHash: '',
    configHash: '',
  };
  const folder = new ExportFolder(dirname(out), basename(out), 'adopted');
  const source = { files, architecture, modelName: name, layers, pause };
  return exportModel(source, identity, { format: 'safetensors', dtype, maxRank: 1 }, folder, onProgress);
}
