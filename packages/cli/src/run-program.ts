import { isatty, WriteStream } from 'node:tty';
import { isMainThread } from 'node:worker_threads';
import { onEndSignal } from '@errata/telemetry/thread';
import { CommanderError } from 'commander';
import { describeFailure, exitCodeOf, failureJson } from './failure.js';
import { createProgram } from './program.js';

/** Runs the command that `args` name and sets the exit code. */
export async function runProgram(args: readonly string[]): Promise<void> {
  const abort = new AbortController();
  // A command that runs a stack has its own handlers and takes longer than this; the others end at once.
  onEndSignal(() => abort.abort());
  const [stdout, stderr] = [stream(1, process.stdout), stream(2, process.stderr)];
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  try {
    const program = createProgram({ stdout, stderr, env: process.env, signal: abort.signal });
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      process.exitCode = exitCodeOf(error);
      if (args.includes('--json')) stdout.write(`${JSON.stringify(failureJson(error))}\n`);
      else stderr.write(`${describeFailure(error)}\n`);
    }
  }
}

/** A thread's own streams do not say that they are a terminal. */
function stream(fd: number, own: NodeJS.WriteStream): NodeJS.WriteStream {
  return isMainThread || !isatty(fd) ? own : new WriteStream(fd);
}
