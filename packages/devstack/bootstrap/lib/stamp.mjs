import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** sha256 of a file, hex. */
export async function sha256File(file) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

/** sha256 over the names (below `root`) and contents of files and further texts, hex. An absent file counts as such. */
export function contentKey(root, files, texts = []) {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${path.relative(root, file)}\0`);
    try {
      hash.update(readFileSync(file));
    } catch {
      hash.update('\0absent');
    }
    hash.update('\0');
  }
  for (const text of texts) hash.update(`${text}\0`);
  return hash.digest('hex');
}

/** All files below a folder, sorted; folders named in `skip` are left out. */
export function filesBelow(folder, skip = []) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!skip.includes(entry.name)) found.push(...filesBelow(full, skip));
    } else if (entry.isFile()) found.push(full);
  }
  return found.sort();
}

export function readStamp(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

export function writeStamp(file, key) {
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, key);
  renameSync(temporary, file);
}
