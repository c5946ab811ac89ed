import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeFailure } from './errors.mjs';
import { repoRoot } from './paths.mjs';
import { killChildren } from './process.mjs';
import { ensureSetup } from './setup.mjs';

const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/** Set-up for a program's entry: on failure the reason is shown and the process ends with code 1. */
export async function setUpOrExit(options) {
  const handlers = Object.entries(signalCodes).map(([signal, code]) => {
    const handler = () => {
      killChildren();
      process.exit(code);
    };
    process.on(signal, handler);
    return [signal, handler];
  });
  try {
    return await ensureSetup(options);
  } catch (error) {
    process.stderr.write(`\n${describeFailure(error)}\n`);
    process.exit(1);
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

/** Runs the `errata` command in this process, so that signals and the terminal are its own. */
export async function runCli(args) {
  const main = path.join(repoRoot, 'packages', 'cli', 'dist', 'main.js');
  process.argv = [process.execPath, main, ...args];
  await import(pathToFileURL(main).href);
}
