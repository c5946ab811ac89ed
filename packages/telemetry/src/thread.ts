import { isMainThread, parentPort, SHARE_ENV, Worker } from 'node:worker_threads';

/** Signals that ask a process to end. */
const endSignals = ['SIGTERM', 'SIGINT'] as const;
export type EndSignal = (typeof endSignals)[number];

/** How long a program has to end after the first signal, in milliseconds, before its process ends without it. */
const stopTimeoutMs = 15_000;

/**
 * Runs a program on a thread of its own, and ends the process as the program ends. The main thread only passes on
 * signals (see {@link onEndSignal}): the kernel hands those of a process to it, so that no handler ever runs on the
 * thread that computes. oneDNN's products need that: on processors without AVX-512 their stack pointer lies in the heap
 * (jit_avx_gemm_f32), and a handler's frame overwrites what is before it.
 */
export function runInThread(entry: URL, argv: readonly string[] = process.argv.slice(2)): void {
  const thread = new Worker(entry, { argv: [...argv], env: SHARE_ENV, name: 'program' });
  let told = false;
  for (const signal of endSignals)
    process.on(signal, () => {
      // Whoever presses Ctrl-C again does not want to wait.
      if (told && signal === 'SIGINT') process.exit(1);
      told = true;
      thread.postMessage({ signal });
      setTimeout(() => process.exit(1), stopTimeoutMs).unref();
    });
  thread.once('error', (error) => process.stderr.write(`${error.stack ?? error.message}\n`));
  // Nothing else keeps the process, which so ends when all that the program wrote is out.
  thread.once('exit', (code) => {
    process.exitCode = code;
  });
}

/** Calls `listener` with the first signal of a kind that asks the process to end; in {@link runInThread}, too. */
export function onEndSignal(listener: (signal: EndSignal) => void): void {
  if (isMainThread) for (const signal of endSignals) process.once(signal, () => listener(signal));
  else {
    parentPort?.on('message', ({ signal }: { signal: EndSignal }) => listener(signal));
    parentPort?.unref();
  }
}
