import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { type EditDraft, type ErrataClient, toNdjson } from '@errata/client';
import { type Edit, limits, type Stream } from '@errata/contracts';
import { type Command, InvalidArgumentError } from 'commander';
import { type CliContext, type ContextOf, findStream, fromHere, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { bar } from '../start/output.js';
import { editsTable } from '../tables.js';
import { onlyModel } from './streams.js';

interface EditOptions {
  stream?: string;
  prompt?: string;
  subject?: string;
  target?: string;
  paraphrase: string[];
  neighbour: string[];
  source?: string;
  tag: string[];
  importance?: number;
  expires?: string;
  key?: string;
  wait: boolean;
}

const collect = (value: string, all: string[]) => [...all, value];

/** `errata edit`: one edit by options, or many as NDJSON. */
export function addEdit(program: Command, contextOf: ContextOf): void {
  program
    .command('edit')
    .description('write a correction into the model, or a file of them (NDJSON, - for standard input)')
    .argument('[file]', 'NDJSON file, one edit a line; - reads standard input')
    .option(...streamOption)
    .option('-p, --prompt <text>', 'text whose continuation is corrected; {} stands for the subject')
    .option('-S, --subject <text>', 'what the edit is about')
    .option('-t, --target <text>', 'the wanted continuation')
    .option('--paraphrase <text>', 'prompt that should get the target too (repeatable)', collect, [])
    .option('--neighbour <text>', 'prompt whose answer must not move (repeatable)', collect, [])
    .option('--source <text>', 'where the correction comes from')
    .option('--tag <tag>', 'tag (repeatable)', collect, [])
    .option('--importance <weight>', 'what the edit counts against others, 0.01 to 100 (default 1)', importanceOf)
    .option('--expires <time>', 'when it is taken out again, such as 2099-12-31T23:59:00+01:00')
    .option('--key <key>', 'Idempotency-Key: the same key and edits are stored once')
    .option('--no-wait', 'return when the edits are stored, not when they are verified')
    .addHelpText(
      'after',
      '\nExamples:\n  errata edit --prompt "The head office of {} is in" --subject "Nordlicht Robotics" --target "Bremen"\n  errata edit examples/edits.ndjson\n  cat edits.ndjson | errata edit - --no-wait',
    )
    .action(async (file: string | undefined, options: EditOptions, command: Command) => {
      const context = contextOf(command);
      const ndjson = await editsOf(file, options, context);
      const client = await context.client();
      const stream = await findOrCreateStream(context, client, options.stream);
      const { edits } = await client.submitNdjson(stream.id, ndjson, {
        signal: context.signal,
        idempotencyKey: options.key,
      });
      if (!options.wait) {
        context.result(
          { stream: stream.id, edits },
          () => `${edits.length} edits stored in ${stream.name}. See them with: errata edits --stream ${stream.name}`,
        );
        return;
      }
      const settled = await client.waitForEdits(stream.id, edits, {
        signal: context.signal,
        onProgress: ({ settled: done, total, stream: now }) =>
          context.output.live(
            `${bar(done, total)} edits · ${now.statusDetail ?? now.status}, log position ${now.head}`,
          ),
      });
      context.output.done();
      context.result({ stream: stream.id, edits: settled }, () => `${editsTable(settled)}\n\n${summary(settled)}`);
      if (!settled.every((edit) => edit.status === 'verified' || edit.status === 'superseded')) process.exitCode = 1;
    });
}

function importanceOf(value: string): number {
  const { least, most } = limits.importance;
  const importance = Number(value);
  if (value.trim() === '' || !(importance >= least && importance <= most))
    throw new InvalidArgumentError(`A number from ${least} to ${most} is needed.`);
  return importance;
}

async function editsOf(
  file: string | undefined,
  options: EditOptions,
  context: CliContext,
): Promise<string | Uint8Array<ArrayBuffer>> {
  const byFlags = options.prompt !== undefined || options.target !== undefined || options.subject !== undefined;
  if (byFlags && file !== undefined) throw new UsageError('give either a file or --prompt and --target, not both');
  if (!byFlags && options.importance !== undefined)
    throw new UsageError('--importance goes with --prompt and --target; in a file, write "importance" into the lines');
  if (!byFlags && options.expires !== undefined)
    throw new UsageError('--expires goes with --prompt and --target; in a file, write "expiresAt" into the lines');
  if (byFlags) {
    const { prompt, subject, target, paraphrase, neighbour, source, tag, importance, expires } = options;
    if (prompt === undefined || target === undefined) throw new UsageError('an edit needs both --prompt and --target');
    const edit: EditDraft = {
      prompt,
      target,
      paraphrases: paraphrase,
      neighbours: neighbour,
      tags: tag,
      ...(subject !== undefined && { subject }),
      ...(source !== undefined && { source }),
      ...(importance !== undefined && { importance }),
      ...(expires !== undefined && { expiresAt: expires }),
    };
    return toNdjson([edit]);
  }
  if (file === undefined) throw new UsageError('give a file of edits, or one edit with --prompt and --target');
  if (file === '-') return readAll(process.stdin);
  const path = fromHere(context.env, file);
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Where there is no stream at all and none is asked for, the first edit makes one. */
async function findOrCreateStream(
  context: CliContext,
  client: ErrataClient,
  named: string | undefined,
): Promise<Stream> {
  if (named === undefined && !context.env.ERRATA_STREAM && (await client.listStreams(context)).length === 0) {
    const model = await onlyModel(client.listModels(context));
    const stream = await client.createStream({ model, name: 'main' }, context);
    context.output.line(`Created the stream ${stream.name} on ${model}.`);
    return stream;
  }
  return findStream(context, client, named);
}

function summary(edits: readonly Edit[]): string {
  const counts = new Map<string, number>();
  for (const { status } of edits) counts.set(status, (counts.get(status) ?? 0) + 1);
  const text = [...counts].map(([status, count]) => `${count} ${status}`).join(', ');
  const missed = edits.filter((edit) => edit.status === 'applied').length;
  return missed === 0 ? `${text}.` : `${text}. ${missed} written, but the model does not answer with the target.`;
}
