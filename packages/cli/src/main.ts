import { CommanderError } from 'commander';
import { describeFailure, exitCodeOf, failureJson } from './failure.js';
import { createProgram } from './program.js';

const abort = new AbortController();
const args = process.argv.slice(2);

// A command that runs a stack has its own handlers and takes longer than this; the others end at once.
const interrupt = () => abort.abort();
process.once('SIGINT', interrupt);
process.once('SIGTERM', interrupt);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});

try {
  await createProgram({
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: abort.signal,
  }).parseAsync(args, { from: 'user' });
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.exitCode = exitCodeOf(error);
    if (args.includes('--json')) process.stdout.write(`${JSON.stringify(failureJson(error))}\n`);
    else process.stderr.write(`${describeFailure(error)}\n`);
  }
}
