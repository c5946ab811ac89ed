import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrataError, type ExportManifest } from '@errata/contracts';
import type { S3Objects } from '@errata/objects';

const manifestName = 'manifest.json';

/**
 * Uploads the folder of an export, the manifest last: who finds that finds everything it names. What lies there already is
 * replaced only where it has no manifest; an upload that fails leaves nothing behind.
 * @throws EXPORT_EXISTS another export is there; as {@link S3Objects.put}
 */
export async function uploadFolder(options: {
  readonly folder: string;
  readonly objects: S3Objects;
  readonly manifest: ExportManifest;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}): Promise<void> {
  const { folder, objects, manifest, signal, onBytes } = options;
  const written = await readFile(join(folder, manifestName));
  const there = await existing(objects, signal);
  if (there?.equals(written)) return;
  if (there)
    throw new ErrataError(
      'EXPORT_EXISTS',
      `${objects.address} holds another export: name another prefix, or remove its ${manifestName} first`,
    );
  const done: string[] = [];
  try {
    for (const { name, bytes, sha256 } of manifest.files) {
      done.push(name);
      const path = join(folder, name);
      await objects.put(name, { bytes, sha256, open: () => createReadStream(path) }, signal);
      onBytes(bytes);
    }
    done.push(manifestName);
    await objects.put(manifestName, written, signal);
  } catch (error) {
    // The manifest first: without it the rest is no export.
    for (const name of done.reverse()) await objects.remove(name).catch(() => undefined);
    throw error;
  }
}

/** The manifest that is there, or null. */
async function existing(objects: S3Objects, signal: AbortSignal): Promise<Buffer | null> {
  try {
    return await objects.get(manifestName, signal);
  } catch (error) {
    if (error instanceof ErrataError && error.code === 'LOG_CORRUPT') return null;
    throw error;
  }
}
