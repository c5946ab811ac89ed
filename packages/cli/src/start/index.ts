import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, type ErrataClient } from '@errata/client';
import { locateTools, type StackEvent, startStack } from '@errata/devstack';
import { UsageError } from '../failure.js';
import { addressLines, eventText } from '../up.js';
import { runJob } from './job.js';
import { finishJob, openJob } from './job-state.js';
import { createOutput, type Output } from './output.js';
import type { JobReport } from './report.js';

export interface StartOptions {
  /** Stop when the job is done; implied where stdout is no terminal. */
  readonly once: boolean;
  readonly json: boolean;
  /** Edits to stream instead of the example, NDJSON. */
  readonly edits?: string;
  readonly dataDir?: string;
}

/** `npm start`: the stack, the main job on it, and then the stack for as long as somebody watches. */
export async function runStart(options: StartOptions): Promise<void> {
  const output = createOutput(options.json ? process.stderr : process.stdout);
  const tools = locateTools();
  const ndjson = await readFile(options.edits ?? join(tools.repoRoot, 'examples', 'edits.ndjson'), 'utf8');
  output.line('starting the stack');
  const stack = await startStack({ dataDir: options.dataDir, onEvent: (event) => tell(output, event) });
  // Other commands find the running stack by this file.
  await writeFile(join(stack.dataDir, 'stack.json'), `${JSON.stringify({ api: stack.api, pid: process.pid })}\n`);
  try {
    const { job, resumed } = await openJob(stack.dataDir, createHash('sha256').update(ndjson).digest('hex'));
    if (resumed) output.line('going on with the job that the last stop interrupted');
    const client = createClient({ baseUrl: stack.api });
    const report = await runJob({
      client,
      output,
      job,
      ndjson,
      model: tools.modelName ?? (await servedModel(client)),
      signal: new AbortController().signal,
    });
    await finishJob(stack.dataDir, job);
    output.line();
    output.line(verdict(report));
    output.line();
    for (const line of addressLines(stack)) output.line(line);
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    if (options.once || !process.stdout.isTTY) return;
    await stayUp(output, report.streamId);
  } finally {
    await stack.stop();
  }
}

/** @throws UsageError where the database knows several models */
async function servedModel(client: ErrataClient): Promise<string> {
  const names = (await client.listModels()).map((model) => model.name);
  if (names.length === 1) return names[0];
  throw new UsageError(`set MODEL_NAME to the model to edit, one of: ${names.join(', ')}`);
}

function verdict(report: JobReport): string {
  const { edits, applied, revokeExact, rollbackExact, seconds } = report;
  const failed = [
    !revokeExact && 'the revocation was not exact',
    !rollbackExact && 'the rollback was not exact',
  ].filter(Boolean);
  const tail = failed.length === 0 ? 'revoke and rollback exact' : failed.join(', ');
  return `${applied} of ${edits} edits written in ${seconds.toFixed(0)} s, ${tail}`;
}

/** Keeps the process until a signal: the stack's own handlers then stop everything and exit. */
function stayUp(output: Output, streamId: string): Promise<never> {
  output.line();
  output.line('The stack stays up; Ctrl-C stops everything, the data is kept. In another terminal:');
  output.line(`  npm run -s errata -- ask -s ${streamId} "The official currency of Croatia is the"`);
  return new Promise(() => setInterval(() => undefined, 60_000));
}

function tell(output: Output, event: StackEvent): void {
  if (event.kind === 'stopped') return;
  if (event.kind === 'starting') output.live(`  ${eventText(event)}`);
  else if (event.kind === 'ready' && output.isTerminal) {
    output.live(`  ${eventText(event)}`);
    output.done();
  } else output.line(`  ${eventText(event)}`);
}
