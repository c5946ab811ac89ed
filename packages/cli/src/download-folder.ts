import { createHash } from 'node:crypto';
import { mkdir, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrataError, type ExportManifest } from '@errata/contracts';
import { UsageError } from './failure.js';

/** A name of a file alone: what a server says is never taken for a path. */
const plainName = /^[^/\\\0]+$/;

/**
 * Downloads the files of an export into a new folder and checks each against its sha256.
 * @param out where the folder will go; refused when something is there
 * @throws UsageError, INTERNAL a file that is not what the manifest says
 */
export async function downloadFolder(options: {
  readonly folder: string;
  readonly out: string;
  readonly manifest: ExportManifest;
  readonly bytesOf: (file: string) => AsyncIterable<Uint8Array>;
  readonly onBytes: (bytes: number) => void;
}): Promise<void> {
  const { folder, out, manifest, bytesOf, onBytes } = options;
  if (await stat(out).catch(() => null)) throw new UsageError(`${out} is there already: name another folder`);
  await mkdir(folder, { recursive: true });
  const files = [...manifest.files, { name: 'manifest.json', bytes: null, sha256: null }];
  for (const { name, bytes, sha256 } of files) {
    if (!plainName.test(name) || name === '..' || name === '.')
      throw new ErrataError('INTERNAL', `the manifest names ${JSON.stringify(name)}, which is no file of a folder`);
    const hash = createHash('sha256');
    let received = 0;
    const handle = await open(join(folder, name), 'w');
    try {
      for await (const chunk of bytesOf(name)) {
        hash.update(chunk);
        await handle.writeFile(chunk);
        received += chunk.length;
        onBytes(bytes === null ? 0 : chunk.length);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (sha256 !== null && (received !== bytes || hash.digest('hex') !== sha256))
      throw new ErrataError(
        'INTERNAL',
        `${name} came as ${received} bytes that are not those of the export: try again`,
      );
  }
}
