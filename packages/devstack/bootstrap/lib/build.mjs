import { existsSync } from 'node:fs';
import path from 'node:path';
import { describeFailure, SetupError } from './errors.mjs';
import { pnpmFolder, toolEnvironment } from './package-manager.mjs';
import { repoRoot, setupDir } from './paths.mjs';
import { run } from './process.mjs';
import { reported } from './reporter.mjs';
import { contentKey, filesBelow, readStamp, writeStamp } from './stamp.mjs';
import { workspaceFolders } from './workspace.mjs';

const stampFile = () => path.join(setupDir(), 'build');

const sourceFolders = () => workspaceFolders().filter((folder) => existsSync(path.join(folder, 'src')));

function buildKey() {
  const files = sourceFolders().flatMap((folder) => [
    path.join(folder, 'package.json'),
    path.join(folder, 'tsconfig.json'),
    ...filesBelow(path.join(folder, 'src')),
  ]);
  const shared = ['package.json', 'tsconfig.json', 'tsconfig.base.json', 'pnpm-lock.yaml'];
  return contentKey(repoRoot, [...shared.map((name) => path.join(repoRoot, name)), ...files]);
}

export function built() {
  return complete() && readStamp(stampFile()) === buildKey();
}

const complete = () => sourceFolders().every((folder) => existsSync(path.join(folder, 'dist', 'index.js')));

/** Compiles the workspace through turbo; where turbo itself cannot, says so and lets pnpm run the same scripts. */
export async function buildWorkspace({ cache, reporter }) {
  await reported(reporter, 'build', async () => {
    const key = buildKey();
    const options = { cwd: repoRoot, env: toolEnvironment(cache) };
    try {
      const turbo = path.join(repoRoot, 'node_modules', '.bin', 'turbo');
      await run(turbo, ['run', 'build', '--output-logs=errors-only', '--ui=stream'], {
        ...options,
        title: 'turbo run build',
      });
      if (!complete()) throw new SetupError('turbo run build did not build every package');
    } catch (error) {
      if (/error TS\d+/.test(error.output ?? '')) throw error;
      reporter.note(`${describeFailure(error)}\nturbo could not build; pnpm runs the build scripts instead`);
      const pnpm = path.join(pnpmFolder(cache), 'pnpm');
      await run(pnpm, ['--recursive', 'run', 'build'], { ...options, title: 'pnpm --recursive run build' });
    }
    writeStamp(stampFile(), key);
  });
}
