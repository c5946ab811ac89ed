import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from './errors.mjs';
import { withLock } from './lock.mjs';
import { repoRoot, setupDir } from './paths.mjs';
import { pnpmVersion } from './pins.mjs';
import { findProgram, run } from './process.mjs';
import { megabytes, reported } from './reporter.mjs';
import { contentKey, readStamp, writeStamp } from './stamp.mjs';
import { workspaceFolders } from './workspace.mjs';

const manifestFolder = path.join(repoRoot, 'packages', 'devstack', 'bootstrap', 'pnpm');
const pinnedTargets = new Set(['linux-x64', 'linux-arm64']);
const target = `${process.platform}-${process.arch}`;

const toolFolder = (cache) => path.join(cache, 'tools', `pnpm-${pnpmVersion}`);

/** Folder that holds the `pnpm` set-up uses. Where no binary is pinned for the platform, the one on PATH. */
export function pnpmFolder(cache) {
  if (pinnedTargets.has(target)) return path.join(toolFolder(cache), 'node_modules', '@pnpm', `exe.${target}`);
  const found = findProgram('pnpm');
  if (found === undefined)
    throw new SetupError(`no pnpm binary is pinned for ${target}, and none is on PATH`, {
      remedy: `Install it with: npm install --global pnpm@${pnpmVersion}`,
    });
  return path.dirname(found);
}

export function pnpmPresent(cache) {
  return !pinnedTargets.has(target) || existsSync(path.join(pnpmFolder(cache), 'pnpm'));
}

/** Installs pnpm into the cache with `npm ci`; the lock file beside this program pins its sha512. */
export async function installPnpm({ cache, reporter }) {
  await withLock(path.join(cache, 'locks', 'pnpm.lock'), async () => {
    if (pnpmPresent(cache)) return;
    await reported(reporter, `pnpm ${pnpmVersion}`, async () => {
      const folder = toolFolder(cache);
      mkdirSync(path.dirname(folder), { recursive: true });
      const temporary = mkdtempSync(`${folder}.part-`);
      try {
        for (const name of ['package.json', 'package-lock.json'])
          copyFileSync(path.join(manifestFolder, name), path.join(temporary, name));
        await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
          cwd: temporary,
          title: `npm's installation of pnpm ${pnpmVersion}`,
          remedy: "Check the network and npm's registry (npm config get registry), then run the same command again.",
        });
        chmodSync(temporary, 0o755);
        rmSync(folder, { recursive: true, force: true });
        renameSync(temporary, folder);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
      const program = path.join(pnpmFolder(cache), 'pnpm');
      if (!existsSync(program)) throw new SetupError(`npm did not install pnpm for ${target}`);
      chmodSync(program, 0o755);
      return megabytes(readFileSync(program).length);
    });
  });
}

const stampFile = () => path.join(setupDir(), 'install');

/** The store an existing installation is linked to: pnpm refuses to mix two. */
function storeOf(cache) {
  try {
    const modules = readFileSync(path.join(repoRoot, 'node_modules', '.modules.yaml'), 'utf8');
    const match = /^\s*"?storeDir"?:\s*"?([^",\n]+)"?,?\s*$/m.exec(modules);
    if (match !== null) return match[1];
  } catch {}
  return path.join(cache, 'pnpm-store');
}

/** The environment of programs that need pnpm: it comes first on PATH, nothing phones home. */
export function toolEnvironment(cache) {
  return {
    ...process.env,
    PATH: `${pnpmFolder(cache)}${path.delimiter}${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH ?? ''}`,
    CI: 'true',
    // A build must neither install anything nor link to another store than the installation's.
    pnpm_config_store_dir: storeOf(cache),
    pnpm_config_verify_deps_before_run: 'false',
    DO_NOT_TRACK: '1',
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
  };
}

function installKey() {
  const manifests = workspaceFolders().map((folder) => path.join(folder, 'package.json'));
  const files = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'].map((name) => path.join(repoRoot, name));
  return contentKey(repoRoot, [...files, ...manifests], [pnpmVersion, target]);
}

export function installed() {
  return existsSync(path.join(repoRoot, 'node_modules', '.modules.yaml')) && readStamp(stampFile()) === installKey();
}

/** Installs the workspace exactly as the lock file says. */
export async function installWorkspace({ cache, reporter }) {
  await reported(reporter, 'packages', async (step) => {
    let added;
    const pnpm = path.join(pnpmFolder(cache), 'pnpm');
    try {
      await run(pnpm, ['install', '--frozen-lockfile', '--reporter', 'append-only', '--store-dir', storeOf(cache)], {
        cwd: repoRoot,
        env: toolEnvironment(cache),
        title: 'pnpm install',
        remedy: "Check the network and npm's registry (npm config get registry), then run the same command again.",
        onOutput: (text) => {
          const match = /added (\d+)(?!.*added \d+)/s.exec(text);
          if (match === null) return;
          added = match[1];
          step.detail(`${added} packages`);
        },
      });
    } catch (error) {
      if (/OUTDATED_LOCKFILE/.test(error.output ?? ''))
        error.remedy =
          'A package.json was changed without its lock file: run `pnpm install --lockfile-only` and commit the result.';
      throw error;
    }
    writeStamp(stampFile(), installKey());
    return added === undefined ? undefined : `${added} packages`;
  });
}
