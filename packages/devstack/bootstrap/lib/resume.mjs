import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { run } from './process.mjs';
import { sha256File } from './stamp.mjs';

const attempts = 4;

/**
 * Appends what a file lacks: argv = pip's wheel, requirement, partial file, then options of `pip download`. Works through
 * the pinned pip's own session and finder, so that the user's index, mirror, proxy and credentials apply; pip itself
 * keeps no partial file from one run to the next.
 */
const resumeProgram = `
import os, sys
wheel, requirement, partial, *options = sys.argv[1:]
sys.path.insert(0, wheel)
from pip._internal.cli.cmdoptions import make_target_python
from pip._internal.commands import create_command
from pip._vendor.packaging.requirements import Requirement
command = create_command('download')
opts, _ = command.parse_args([*options, requirement])
with command.main_context(), open(partial, 'ab') as file:
    try:
        import fcntl
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    session = command.get_default_session(opts)
    finder = command._build_package_finder(
        options=opts, session=session, target_python=make_target_python(opts), ignore_requires_python=True
    )
    wanted = Requirement(requirement)
    best = finder.find_best_candidate(wanted.name, wanted.specifier).best_candidate
    have = os.path.getsize(partial)
    headers = {'Range': f'bytes={have}-', 'Accept-Encoding': 'identity'}
    response = session.get(best.link.url_without_fragment, headers=headers, stream=True)
    response.raise_for_status()
    if response.status_code != 206:
        file.truncate(0)
    for block in response.iter_content(1 << 20):
        file.write(block)
        file.flush()
`;

/** Where the bytes of an unfinished download wait for the next run. */
export function partialOf(target) {
  return `${target}.partial`;
}

/** Bytes of an unfinished download so far. */
export function partialBytes(target) {
  const partial = partialOf(target);
  return existsSync(partial) ? statSync(partial).size : 0;
}

/**
 * Goes on with a download where an earlier run, or a broken connection, left it.
 * @param pipWheel the pinned pip, whose parts the program uses
 * @returns whether the file is there with its pinned sha256; where not, the caller downloads it whole
 */
export async function resumeDownload({ pipWheel, requirement, options, target, sha256, python, env }) {
  const partial = partialOf(target);
  let ended = false;
  for (let attempt = 1; attempt <= attempts && !ended; attempt += 1) {
    const before = partialBytes(target);
    try {
      const args = ['-I', '-c', resumeProgram, pipWheel, requirement, partial, ...options];
      await run(python, args, { title: `download of ${requirement}`, env });
      ended = true;
    } catch {
      if (partialBytes(target) === before) break;
    }
  }
  if (!existsSync(partial)) return false;
  if ((await sha256File(partial)) === sha256) {
    renameSync(partial, target);
    return true;
  }
  // What broke off may be completed by the next run; what ended and is another file never can.
  if (ended || partialBytes(target) === 0) rmSync(partial);
  return false;
}

/** The wheel of a pip that runs from its own file, or undefined where pip is the user's. */
export function pipWheelOf(pip) {
  return pip.length === 1 ? path.dirname(pip[0]) : undefined;
}
