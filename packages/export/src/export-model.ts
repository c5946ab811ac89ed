import type { ErrorCode, ExportDtype, ExportFormat, ExportManifest } from '@errata/contracts';
import { ErrataError } from '@errata/contracts';
import { planAdapter } from './adapter.js';
import { toExportError } from './errors.js';
import type { ExportFolder, FilePlan } from './export-folder.js';
import { planGguf } from './gguf-writer.js';
import { planMerged } from './merged.js';
import { numberFormat } from './number-formats.js';
import { defaultShardBytes } from './sharding.js';
import type { ExportSource, LayerRecord } from './source.js';

export interface ExportOptions {
  readonly format: ExportFormat;
  readonly dtype: ExportDtype;
  /** Columns a layer of an adapter keeps at most. */
  readonly maxRank: number;
  /** Bytes of tensors in one safetensors file; 5 GB when left out. */
  readonly shardBytes?: number;
}

/** What the manifest says beside what was written. */
export type ExportIdentity = Pick<ExportManifest, 'model' | 'stream' | 'seq' | 'logHash' | 'configHash'>;

export interface ExportProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** Failures after which the same export would fail again: nothing of it is kept. */
const final: readonly ErrorCode[] = ['DISK_FULL', 'EXPORT_UNSUPPORTED', 'EXPORT_EXISTS', 'INVALID_REQUEST'];

/**
 * Writes an edited model into a folder, which appears whole or not at all; see {@link ExportFolder}. An export that is there
 * already answers its manifest.
 * @throws EXPORT_UNSUPPORTED, EXPORT_EXISTS, DISK_FULL, INVALID_REQUEST a weight beyond the range of the dtype
 */
export async function exportModel(
  source: ExportSource,
  identity: ExportIdentity,
  options: ExportOptions,
  folder: ExportFolder,
  onProgress: (progress: ExportProgress) => void = () => undefined,
): Promise<ExportManifest> {
  const there = await folder.published();
  if (there) {
    if (sameExport(there, identity, options)) return there;
    throw new ErrataError(
      'EXPORT_EXISTS',
      `${folder.path} holds the export of ${there.stream.name} at position ${there.seq} as ${there.format}: name another destination`,
    );
  }
  try {
    const { files, records: early } = await plan(source, options);
    const bytesTotal = files.reduce((sum, { bytes }) => sum + bytes, 0);
    await folder.begin(bytesTotal);
    let bytesDone = 0;
    const written = [];
    for (const file of files) {
      written.push(
        await folder.write(file, (bytes) => {
          bytesDone += bytes;
          onProgress({ bytesDone, bytesTotal });
        }),
      );
      await source.pause();
    }
    const layers = [...early, ...written.flatMap(({ records }) => records)].sort((a, b) => a.layer - b.layer);
    const manifest: ExportManifest = {
      version: 1,
      format: options.format,
      dtype: options.dtype,
      maxRank: options.format === 'peft' ? options.maxRank : null,
      ...identity,
      layers,
      relativeError: Math.max(0, ...layers.map(({ relativeError }) => relativeError)),
      files: written.map(({ file }) => file).sort((a, b) => (a.name < b.name ? -1 : 1)),
    };
    await folder.publish(manifest);
    return manifest;
  } catch (error) {
    const known = toExportError(error);
    if (known instanceof ErrataError && final.includes(known.code)) await folder.discard();
    throw known;
  }
}

async function plan(
  source: ExportSource,
  { format, dtype, maxRank, shardBytes = defaultShardBytes }: ExportOptions,
): Promise<{ files: FilePlan[]; records: LayerRecord[] }> {
  const numbers = numberFormat(dtype);
  switch (format) {
    case 'peft':
      return planAdapter(source, { format: numbers, maxRank });
    case 'safetensors':
      return { files: await planMerged(source, { format: numbers, shardBytes }), records: [] };
    case 'gguf':
      return { files: await planGguf(source, { format: numbers }), records: [] };
  }
}

function sameExport(manifest: ExportManifest, identity: ExportIdentity, options: ExportOptions): boolean {
  return (
    manifest.format === options.format &&
    (options.format !== 'peft' || manifest.maxRank === options.maxRank) &&
    manifest.dtype === options.dtype &&
    manifest.stream.id === identity.stream.id &&
    manifest.logHash === identity.logHash &&
    manifest.model.id === identity.model.id
  );
}
