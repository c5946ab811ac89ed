import type { Stream, TaskQueue } from '@errata/contracts';
import type { Command } from 'commander';
import type { ContextOf } from '../context.js';
import { textTable } from '../tables.js';

/** `errata status`. */
export function addStatus(program: Command, contextOf: ContextOf): void {
  program
    .command('status')
    .description('whether everything is there that the work needs, and how the streams are')
    .addHelpText(
      'after',
      '\nEnds with 1 when nobody takes the tasks of a capability.\nExample:\n  errata status --json',
    )
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      await client.ready(context);
      const [taskQueues, streams] = await Promise.all([client.listTaskQueues(context), client.listStreams(context)]);
      if (taskQueues.some(({ pollers }) => pollers === 0)) process.exitCode = 1;
      context.result({ api: client.baseUrl, taskQueues, streams }, () =>
        [`Ready at ${client.baseUrl}.`, '', queuesText(taskQueues), '', streamsText(streams)].join('\n'),
      );
    });
}

/** What is wrong with the task queues and what to do, a line each. */
export function remedies(taskQueues: readonly TaskQueue[]): string[] {
  return taskQueues.flatMap(({ capability, remedy }) => (remedy === null ? [] : [`${capability}: ${remedy}`]));
}

function queuesText(taskQueues: readonly TaskQueue[]): string {
  const rows = taskQueues.map(({ capability, taskQueue, pollers, backlog, oldestSeconds }) => [
    capability,
    taskQueue,
    pollers,
    backlog ?? '',
    backlog ? `${(oldestSeconds ?? 0).toFixed(0)} s` : '',
  ]);
  const table = textTable(['capability', 'task queue', 'orchestrators', 'tasks that wait', 'longest'], rows);
  return [table, ...remedies(taskQueues).map((line) => `✗ ${line}`)].join('\n');
}

function streamsText(streams: readonly Stream[]): string {
  if (streams.length === 0) return 'No streams. Create one with: errata streams create --name facts';
  const rows = streams.map(({ name, status, head, counts, statusDetail }) => [
    name,
    status,
    head,
    (counts.queued ?? 0) + (counts.resolved ?? 0),
    statusDetail ?? '',
  ]);
  return textTable(['stream', 'status', 'head', 'edits that wait', ''], rows);
}
