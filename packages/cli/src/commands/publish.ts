import { exportLimits, type Publication } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { textTable } from '../tables.js';
import { positionOf } from './position.js';

interface PublishOptions {
  readonly stream?: string;
  readonly target: string;
  readonly alias: string;
  readonly at?: string;
  readonly maxRank: number;
  readonly samples: number;
  readonly tolerance: number;
}

/** `errata publish`, `errata aliases`. */
export function addPublish(program: Command, contextOf: ContextOf): void {
  program
    .command('publish')
    .description('bring a position to a serving server as a LoRA adapter, verify it there, and move an alias to it')
    .option(...streamOption)
    .requiredOption('-t, --target <name>', 'server, by its name in PUBLISH_TARGETS')
    .requiredOption('-a, --alias <name>', 'alias that will mean this position')
    .option('--at <position>', 'position of the log or checkpoint (default: the head)')
    .option('--max-rank <count>', 'columns a layer may keep', Number, exportLimits.defaultMaxRank)
    .option('--samples <count>', 'edits the server is asked for', Number, 20)
    .option('--tolerance <share>', 'by how much its share of right answers may be below that of the stream', Number, 0)
    .addHelpText('after', '\nExample:\n  errata publish --target gpu --alias support')
    .action(async (options: PublishOptions, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const { target, alias, maxRank, samples, tolerance } = options;
      const position = options.at === undefined ? {} : positionOf(options.at);
      const request = { target, alias, maxRank, samples, tolerance, ...position };
      const started = await client.publish(stream.id, request, context);
      const ended = await client.waitForPublication(started, {
        signal: context.signal,
        onProgress: ({ steps }) =>
          context.output.live(`done: ${steps.map(({ step }) => step).join(', ') || 'nothing yet'}`),
      });
      context.output.done();
      if (ended.status !== 'done') process.exitCode = 1;
      const aliases = await client.listAliases(context);
      const serving = aliases.find((each) => each.target === target && each.alias === alias) ?? null;
      context.result({ publication: ended, serving }, () => summary(ended, serving?.loraName));
    });

  program
    .command('aliases')
    .description('list what each alias means on its server')
    .addHelpText('after', '\nExample:\n  errata aliases --json')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const aliases = await (await context.client()).listAliases(context);
      context.result({ aliases }, () =>
        textTable(
          ['server', 'alias', 'model id there', 'stream', 'position', 'version', 'moved'],
          aliases.map((each) => [
            each.target,
            each.alias,
            each.loraName,
            each.streamId,
            each.seq,
            each.version,
            each.updatedAt,
          ]),
        ),
      );
    });
}

function summary(
  { status, alias, target, loraName, seq, detail, steps }: Publication,
  serving: string | undefined,
): string {
  const verified = steps.find(({ step }) => step === 'verify')?.detail;
  if (status === 'done')
    return [
      `${alias} on ${target} is now ${loraName} (position ${seq}).`,
      verified
        ? `It answers ${verified.serverRight} of ${verified.samples} edits, the stream ${verified.streamRight}.`
        : '',
      detail ?? '',
    ]
      .filter((line) => line !== '')
      .join('\n');
  return `Not published: ${detail}\n${alias} on ${target} still means ${serving ?? 'nothing'}.`;
}
