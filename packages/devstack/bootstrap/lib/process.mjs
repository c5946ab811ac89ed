import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from './errors.mjs';

const keptOutput = 64 * 1024;
const running = new Set();

/** Ends every child of set-up; called when set-up fails or is interrupted. */
export function killChildren() {
  for (const child of running) child.kill('SIGTERM');
}

/**
 * Runs a program to its end and returns what it wrote to stdout.
 * @throws SetupError with the last lines of its output when it cannot be run or exits with another code than 0
 */
export function run(command, args, { cwd, env, timeout, title = command, remedy = '', onOutput } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, timeout, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let stdout = '';
    let output = '';
    const take = (chunk) => {
      output = (output + chunk).slice(-keptOutput);
      onOutput?.(String(chunk));
    };
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      take(chunk);
    });
    child.stderr.on('data', take);
    child.on('error', (error) => {
      running.delete(child);
      reject(new SetupError(`${title} could not be run: ${error.message}`, { remedy }));
    });
    child.on('close', (code, signal) => {
      running.delete(child);
      if (code === 0) resolve(stdout);
      else
        reject(
          new SetupError(`${title} failed (${signal === null ? `exit code ${code}` : signal})`, { output, remedy }),
        );
    });
  });
}

/** Absolute path of a program on PATH, or undefined. */
export function findProgram(name, env = process.env) {
  for (const folder of (env.PATH ?? '').split(path.delimiter)) {
    if (!path.isAbsolute(folder)) continue;
    const candidate = path.join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return candidate;
    } catch {}
  }
  return undefined;
}
