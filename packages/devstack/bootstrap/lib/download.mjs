import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from './errors.mjs';
import { wheels } from './pins.mjs';
import { run } from './process.mjs';
import { megabytes } from './reporter.mjs';
import { partialBytes, partialOf, pipWheelOf, resumeDownload } from './resume.mjs';
import { sha256File } from './stamp.mjs';

const ownPip = ['-m', 'pip'];
const attempts = 4;
const pollMilliseconds = 250;

/** Bytes of the largest file below a folder: pip's partial download. */
function largestBelow(folder) {
  let largest = 0;
  for (const entry of readdirSync(folder, { recursive: true })) {
    try {
      const stat = statSync(path.join(folder, entry));
      if (stat.isFile()) largest = Math.max(largest, stat.size);
    } catch {}
  }
  return largest;
}

/** pip's version as [major, minor], or undefined where python3 or pip is missing. */
export async function pipVersion(python, pip = ownPip) {
  try {
    const match = /^pip (\d+)\.(\d+)/.exec(await run(python, [...pip, '--version']));
    return match === null ? undefined : [Number(match[1]), Number(match[2])];
  } catch {
    return undefined;
  }
}

const resumes = (version) => version[0] > 25 || (version[0] === 25 && version[1] >= 1);

/** Removes what killed downloads and extractions left behind; only for a caller that holds the lock of `prefix`. */
export function removeLeftovers(prefix) {
  const folder = path.dirname(prefix);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (name.startsWith(path.basename(prefix))) rmSync(path.join(folder, name), { recursive: true, force: true });
}

/**
 * How pip is run: a pinned one, which runs from its own file and with the user's settings, so that downloads can be
 * resumed; where it cannot be had, pip as it is goes on.
 */
export async function choosePip({ downloads, python }) {
  const version = await pipVersion(python);
  if (version === undefined) return ownPip;
  try {
    const newer = [
      path.join(await fetchWheel({ ...wheels.pip, file: wheels.pip.files.any, downloads, python }), 'pip'),
    ];
    return (await pipVersion(python, newer)) === undefined ? ownPip : newer;
  } catch {
    return ownPip;
  }
}

/** Options of pip that say which file of a package is meant. */
function selection(file) {
  return [
    ...['--no-deps', '--only-binary=:all:'],
    ...file.platforms.flatMap((platform) => ['--platform', platform]),
    ...(file.python === undefined ? [] : ['--python-version', file.python, '--implementation', 'cp']),
  ];
}

/** Arguments of one `pip download`; pip itself refuses a file whose hash is not in the requirements file. */
export function pipArguments(file, requirementsFile, target, version) {
  return [
    'download',
    ...['--disable-pip-version-check', '--no-input', '--no-cache-dir', '--progress-bar', 'off'],
    ...['--require-hashes', '--retries', '5'],
    ...(resumes(version) ? ['--resume-retries', '20'] : []),
    ...selection(file),
    ...['--dest', target, '--requirement', requirementsFile],
  ];
}

/**
 * Brings a pinned wheel into the download cache through pip, so that the user's index, mirror, proxy and credentials
 * apply, and returns its path. A file already there with the right sha256 is used as it is.
 * @throws SetupError when the file cannot be had or its sha256 is not the pinned one
 */
export async function fetchWheel({ requirement, file, downloads, python, pip = ownPip, step, env = process.env }) {
  const target = path.join(downloads, file.name);
  if (existsSync(target)) {
    if ((await sha256File(target)) === file.sha256) return target;
    rmSync(target);
  }
  mkdirSync(downloads, { recursive: true });
  const version = await pipVersion(python, pip);
  if (version === undefined) throw new SetupError(`${python} has no pip, which downloads ${requirement}`);
  const part = mkdtempSync(path.join(downloads, `part-${file.name}-`));
  const bytes = () => Math.max(partialBytes(target), largestBelow(part));
  const watch = setInterval(() => step?.bytes(bytes(), file.size), pollMilliseconds).unref();
  try {
    const pipWheel = pipWheelOf(pip);
    if (pipWheel !== undefined) {
      const options = [...selection(file), '--no-cache-dir', '--disable-pip-version-check', '--dest', part];
      const { sha256 } = file;
      if (await resumeDownload({ pipWheel, requirement, options, target, sha256, python, env })) {
        step?.bytes(statSync(target).size, file.size);
        return target;
      }
    }
    const requirements = path.join(part, 'requirements.txt');
    const destination = path.join(part, 'done');
    writeFileSync(requirements, `${requirement} --hash=sha256:${file.sha256}\n`);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await run(python, [...pip, ...pipArguments(file, requirements, destination, version)], {
          title: `download of ${requirement}`,
          remedy: `Check the network and pip's index (pip config list), then run the same command again: what is complete is kept.`,
          env: { ...env, TMPDIR: part, PIP_REQUIRE_VIRTUALENV: '0' },
        });
        break;
      } catch (error) {
        const refused =
          !(error instanceof SetupError) ||
          /DO NOT MATCH THE HASHES|No matching distribution/i.test(error.output ?? '');
        if (attempt === attempts || refused) throw error;
        step?.detail(`try ${attempt + 1} of ${attempts}`);
        await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** attempt));
      }
    }
    const fetched = readdirSync(destination).map((name) => path.join(destination, name));
    if (fetched.length !== 1) throw new SetupError(`download of ${requirement} gave ${fetched.length} files, not 1`);
    const actual = await sha256File(fetched[0]);
    if (actual !== file.sha256)
      throw new SetupError(`${file.name} has sha256 ${actual}, not the pinned ${file.sha256}: refused`);
    renameSync(fetched[0], target);
    rmSync(partialOf(target), { force: true });
    step?.bytes(statSync(target).size, file.size);
    return target;
  } finally {
    clearInterval(watch);
    rmSync(part, { recursive: true, force: true });
  }
}

/** The size of a file as the progress line shows it. */
export function sizeText(file) {
  return megabytes(statSync(file).size);
}
