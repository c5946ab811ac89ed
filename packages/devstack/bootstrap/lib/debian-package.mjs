import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { withLock } from './lock.mjs';
import { findProgram, run } from './process.mjs';
import { reported } from './reporter.mjs';
import { writeStamp } from './stamp.mjs';

const milliseconds = { download: 120_000, update: 60_000, unpack: 60_000, retryAfter: 24 * 60 * 60_000 };
const apt = ['-q', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=15', '-o', 'Acquire::https::Timeout=15'];

/** Downloads a package into a folder; root refreshes the lists of packages where it is not in them. */
async function download(packageName, folder, env) {
  const get = (args, timeout) => run(findProgram('apt-get', env), [...apt, ...args], { cwd: folder, env, timeout });
  try {
    await get(['download', packageName], milliseconds.download);
  } catch (error) {
    if (process.getuid() !== 0) throw error;
    await get(['update'], milliseconds.update);
    await get(['download', packageName], milliseconds.download);
  }
  return path.join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.deb')),
  );
}

/**
 * Files that only tests use, out of a package of the machine's own sources, in the version they offer and without
 * installing it. Tests that need them are skipped where they are not to be had.
 * @param folder below `tools` in the cache @param members their names in the package @param main the file that is looked for
 * @param replaced whether the environment names another @param skipped what is skipped without them
 */
export function debianPackage({ packageName, folder, members, main, title, replaced, skipped }) {
  const folderOf = (cache) => path.join(cache, 'tools', folder);
  const failureOf = (cache) => path.join(cache, 'tools', `${folder}.failed`);
  const fileOf = (cache) => path.join(folderOf(cache), main);

  function failedLately(cache) {
    try {
      return Date.now() - statSync(failureOf(cache)).mtimeMs < milliseconds.retryAfter;
    } catch {
      return false;
    }
  }

  /** Whether it is to be fetched: not there, none named by the environment, and a machine of Debian's kind. */
  function wanted(cache, env = process.env) {
    if (process.platform !== 'linux' || existsSync(fileOf(cache)) || failedLately(cache) || replaced(env)) return false;
    return ['apt-get', 'dpkg-deb'].every((name) => findProgram(name, env) !== undefined);
  }

  /** A failure is told and not tried again for a day. */
  async function install({ cache, reporter, env = process.env }) {
    const target = folderOf(cache);
    mkdirSync(path.dirname(target), { recursive: true });
    await withLock(path.join(cache, 'locks', `${folder}.lock`), async () => {
      if (!wanted(cache, env)) return;
      const temporary = mkdtempSync(`${target}.part-`);
      try {
        await reported(reporter, title, async () => {
          const file = await download(packageName, temporary, env);
          const [unpacked, kept] = ['all', 'kept'].map((name) => path.join(temporary, name));
          await run(findProgram('dpkg-deb', env), ['-x', file, unpacked], { env, timeout: milliseconds.unpack });
          mkdirSync(kept);
          for (const member of members)
            copyFileSync(path.join(unpacked, member), path.join(kept, path.basename(member)));
          rmSync(target, { recursive: true, force: true });
          renameSync(kept, target);
        });
        rmSync(failureOf(cache), { force: true });
      } catch (error) {
        writeStamp(failureOf(cache), error.message);
        const reason = `${error.message}; next try in a day, or when ${failureOf(cache)} is removed`;
        reporter.note(`note: ${skipped}: ${reason}`);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    });
  }

  return { file: fileOf, wanted, install };
}
