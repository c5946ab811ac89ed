import { isMainThread } from 'node:worker_threads';
import { runInThread } from '@errata/telemetry/thread';

/** Commands that compute in this process, which the main thread is not for. */
const computing: ReadonlySet<string> = new Set(['bench', 'conformance', 'doctor', 'tune']);
const args = process.argv.slice(2);

if (isMainThread && args.some((arg) => computing.has(arg))) runInThread(new URL(import.meta.url), args);
else {
  const { runProgram } = await import('./run-program.js');
  await runProgram(args);
}
