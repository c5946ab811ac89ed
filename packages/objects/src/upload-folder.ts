import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrataError, type ExportManifest } from '@errata/contracts';
import type { S3Objects } from './s3-client.js';

const manifestName = 'manifest.json';

/**
 * Uploads the folder of an export, below the prefix of the bucket or further down, the manifest last: who finds that finds everything it names. What lies there already is
 * replaced only where it has no manifest; an upload that fails leaves nothing behind.
 * @throws EXPORT_EXISTS another export is there; as {@link S3Objects.put}
 */
export async function uploadFolder(options: {
  readonly folder: string;
  readonly objects: S3Objects;
  /** Before every key: empty when left out, or ending in a slash. */
  readonly below?: string;
  readonly manifest: ExportManifest;
  readonly signal: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
}): Promise<void> {
  const { folder, objects, below = '', manifest, signal, onBytes } = options;
  const manifestKey = `${below}${manifestName}`;
  const written = await readFile(join(folder, manifestName));
  const there = await existing(objects, manifestKey, signal);
  if (there?.equals(written)) return;
  if (there)
    throw new ErrataError(
      'EXPORT_EXISTS',
      `${objects.address}${below} holds another export: name another prefix, or remove its ${manifestName} first`,
    );
  const done: string[] = [];
  try {
    for (const { name, bytes, sha256 } of manifest.files) {
      const key = `${below}${name}`;
      done.push(key);
      const path = join(folder, name);
      await objects.put(key, { bytes, sha256, open: () => createReadStream(path) }, signal);
      onBytes?.(bytes);
    }
    done.push(manifestKey);
    await objects.put(manifestKey, written, signal);
  } catch (error) {
    // The manifest first: without it the rest is no export.
    for (const key of done.reverse()) await objects.remove(key).catch(() => undefined);
    throw error;
  }
}

/** Removes what {@link uploadFolder} uploaded, the manifest first. What is not there is removed already. */
export async function removeUpload(
  objects: S3Objects,
  below: string,
  manifest: ExportManifest,
  signal: AbortSignal,
): Promise<void> {
  for (const name of [manifestName, ...manifest.files.map((file) => file.name)])
    await objects.remove(`${below}${name}`, signal);
}

/** The manifest that is there, or null. */
async function existing(objects: S3Objects, key: string, signal: AbortSignal): Promise<Buffer | null> {
  try {
    return await objects.get(key, signal);
  } catch (error) {
    if (error instanceof ErrataError && error.code === 'LOG_CORRUPT') return null;
    throw error;
  }
}
