import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ModelError } from './errors.js';
import { weightFileNames } from './model-folder.js';

/**
 * The identity of a model, hex: of a GGUF file its sha256; of a folder the sha256 of what
 * `sha256sum config.json tokenizer.json <weight files>` prints, sorted by name. The digest of a weight file is kept in
 * `<path>.sha256` beside size and time of the file, so that it is computed once; a folder that cannot be written to is
 * no error.
 * @throws ModelError FILE_NOT_FOUND, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export async function modelHash(path: string): Promise<string> {
  if (!(await found(path)).isDirectory()) return weightHash(path);
  const digests = new Map<string, string>();
  for (const name of ['config.json', 'tokenizer.json']) digests.set(name, await plainHash(join(path, name)));
  for (const name of await weightFileNames(path)) digests.set(name, await weightHash(join(path, name)));
  const lines = [...digests.keys()].sort().map((name) => `${digests.get(name)}  ${name}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}

async function weightHash(path: string): Promise<string> {
  const { size, mtimeMs } = await found(path);
  const key = `${size}:${mtimeMs}`;
  const cachePath = `${path}.sha256`;
  try {
    const [digest, cachedKey] = (await readFile(cachePath, 'utf8')).trim().split(' ');
    if (cachedKey === key && /^[0-9a-f]{64}$/.test(digest)) return digest;
  } catch {
    // no cache yet
  }
  const digest = await plainHash(path);
  await writeFile(cachePath, `${digest} ${key}\n`).catch(() => undefined);
  return digest;
}

async function plainHash(path: string): Promise<string> {
  if (!(await found(path)).isFile()) throw new ModelError('FILE_NOT_FOUND', `${path} is not a file`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest('hex');
}

async function found(path: string): ReturnType<typeof stat> {
  try {
    return await stat(path);
  } catch (cause) {
    throw new ModelError('FILE_NOT_FOUND', `no model file at ${path}`, { cause });
  }
}
