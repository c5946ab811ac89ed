import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Stack, type StackEvent, startStack } from '@errata/devstack';
import { type CliContext, fromHere } from './context.js';

export interface UpOptions {
  readonly port?: number;
  readonly dataDir?: string;
}

/**
 * Starts the stack, says where it answers, and keeps it up: Ctrl-C stops it cleanly, with the handlers of the stack
 * itself, which end the process. With --json the addresses are one JSON line once everything is ready.
 */
export async function runUp(context: CliContext, options: UpOptions): Promise<void> {
  const { output } = context;
  const stack = await startStack({
    ...(options.port !== undefined && { port: options.port }),
    ...(options.dataDir !== undefined && { dataDir: fromHere(context.env, options.dataDir) }),
    onEvent: (event) => output.line(eventText(event)),
  });
  const { api, docs, metrics, dataDir, logDir } = stack;
  // Other commands find the running stack by this file.
  await writeFile(join(dataDir, 'stack.json'), `${JSON.stringify({ api, pid: process.pid })}\n`);
  context.result({ api, docs, metrics, dataDir, logDir, pid: process.pid }, () =>
    [
      '',
      ...addressLines(stack),
      '',
      'Ctrl-C stops everything; the data is kept. In another terminal:',
      '  npm run -s errata -- edit --prompt "The head office of {} is in" --subject "Nordlicht Robotics" --target "Bremen"',
    ].join('\n'),
  );
}

/** Where a stack answers and where its data lies, a line each. */
export function addressLines({ api, docs, metrics, dataDir, logDir }: Stack): string[] {
  return [
    `API      ${api}`,
    `docs     ${docs}`,
    ...Object.entries(metrics).map(([name, page], i) => `${i === 0 ? 'metrics' : '       '}  ${page}  ${name}`),
    `data     ${dataDir}`,
    `logs     ${logDir}`,
  ];
}

/** One line for what a stack tells while it starts and runs. */
export function eventText(event: StackEvent): string {
  switch (event.kind) {
    case 'note':
      return event.message;
    case 'starting':
      return `${event.name}: starting`;
    case 'ready':
      return `${event.name}: ready after ${event.seconds.toFixed(1)} s`;
    case 'crashed':
      return `${event.name}: ended (${event.exit}); started again in ${event.retryInMs} ms${tail(event.lastLines)}`;
    case 'failed':
      return `${event.name}: ended too often (${event.exit}), not started again${tail(event.lastLines)}`;
    case 'stopped':
      return `${event.name}: stopped`;
  }
}

function tail(lines: readonly string[]): string {
  return lines.map((line) => `\n  | ${line}`).join('');
}
