import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { withLock } from './lock.mjs';
import { findProgram, run } from './process.mjs';
import { reported } from './reporter.mjs';
import { writeStamp } from './stamp.mjs';

/** Debian's package that holds both a Vulkan loader and SwiftShader, a Vulkan driver that computes on the CPU. */
const packageName = 'chromium-common';
const driver = 'vk_swiftshader_icd.json';
const members = [
  `usr/lib/chromium/${driver}`,
  'usr/lib/chromium/libvk_swiftshader.so',
  'usr/lib/chromium/libvulkan.so.1',
  `usr/share/doc/${packageName}/copyright`,
];

const milliseconds = { download: 120_000, update: 60_000, unpack: 60_000, retryAfter: 24 * 60 * 60_000 };
const apt = ['-q', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=15', '-o', 'Acquire::https::Timeout=15'];

const folderOf = (cache) => path.join(cache, 'tools', 'swiftshader');
const failureOf = (cache) => path.join(cache, 'tools', 'swiftshader.failed');

/** Where the description of the driver is once it is there. */
export function softwareVulkan(cache) {
  return path.join(folderOf(cache), driver);
}

function failedLately(cache) {
  try {
    return Date.now() - statSync(failureOf(cache)).mtimeMs < milliseconds.retryAfter;
  } catch {
    return false;
  }
}

/** Whether the driver is to be fetched: not there, none named by the environment, and a machine of Debian's kind. */
export function wantsSoftwareVulkan(cache, env = process.env) {
  if (process.platform !== 'linux' || existsSync(softwareVulkan(cache)) || failedLately(cache)) return false;
  if ([env.ERRATA_TEST_VULKAN, env.VK_ICD_FILENAMES, env.VK_DRIVER_FILES].some((named) => named !== undefined))
    return false;
  return ['apt-get', 'dpkg-deb'].every((name) => findProgram(name, env) !== undefined);
}

/** Downloads the package into a folder; root refreshes the lists of packages where it is not in them. */
async function download(folder, env) {
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
 * Brings the driver for the WebGPU tests from the machine's own package sources, in the version they offer, without
 * installing it. Those tests are skipped where that fails, which is not tried again for a day.
 */
export async function installSoftwareVulkan({ cache, reporter, env = process.env }) {
  const target = folderOf(cache);
  mkdirSync(path.dirname(target), { recursive: true });
  await withLock(path.join(cache, 'locks', 'swiftshader.lock'), async () => {
    if (!wantsSoftwareVulkan(cache, env)) return;
    const temporary = mkdtempSync(`${target}.part-`);
    try {
      await reported(reporter, 'software Vulkan driver for tests', async () => {
        const file = await download(temporary, env);
        const [unpacked, kept] = ['all', 'kept'].map((name) => path.join(temporary, name));
        await run(findProgram('dpkg-deb', env), ['-x', file, unpacked], { env, timeout: milliseconds.unpack });
        mkdirSync(kept);
        for (const member of members) copyFileSync(path.join(unpacked, member), path.join(kept, path.basename(member)));
        rmSync(target, { recursive: true, force: true });
        renameSync(kept, target);
      });
      rmSync(failureOf(cache), { force: true });
    } catch (error) {
      writeStamp(failureOf(cache), error.message);
      const reason = `${error.message}; next try in a day, or when ${failureOf(cache)} is removed`;
      reporter.note(`note: the WebGPU tests are skipped, which need a Vulkan driver: ${reason}`);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  });
}
