import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the checkout. */
export const repoRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');

/** Where downloads and extracted tools are kept, shared by all checkouts of a user. */
export function cacheDir(env = process.env) {
  const base = env.XDG_CACHE_HOME;
  return path.join(base && path.isAbsolute(base) ? base : path.join(homedir(), '.cache'), 'errata');
}

/** Where set-up notes what is done in this checkout. */
export function setupDir() {
  return path.join(repoRoot, '.errata', 'setup');
}
