import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/**
 * sha256 of a weight file, hex: the identity of a model. The digest is kept in `<path>.sha256` beside size and time
 * of the file, so that it is computed once; a folder that cannot be written to is no error.
 */
export async function modelHash(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  const key = `${size}:${mtimeMs}`;
  const cachePath = `${path}.sha256`;
  try {
    const [digest, cachedKey] = (await readFile(cachePath, 'utf8')).trim().split(' ');
    if (cachedKey === key && /^[0-9a-f]{64}$/.test(digest)) return digest;
  } catch {
    // no cache yet
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  const digest = hash.digest('hex');
  await writeFile(cachePath, `${digest} ${key}\n`).catch(() => undefined);
  return digest;
}
