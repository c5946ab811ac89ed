import { type CreateStreamRequest, type EditorConfig, ErrataError } from '@errata/contracts';
import { parsePreset } from '@errata/editor/presets';
import { type Command, Option } from 'commander';
import { uploadedAdapter } from '../adapter-folder.js';
import { type CliContext, type ContextOf, findStream, fromHere, readGiven, streamOption } from '../context.js';
import { forecastTable, layersTable, probeLines } from '../drift-text.js';
import { UsageError } from '../failure.js';
import { streamsTable } from '../tables.js';
import { wholeNumber } from './edits.js';

interface CreateOptions {
  model?: string;
  name?: string;
  preset?: string;
  layers?: string;
  rowShards?: number;
  forgetting?: number;
  resolver?: 'optimise' | 'one-shot';
  corpus?: string;
  fromAdapter?: string;
  conditioning?: 'refuse' | 'raise-lambda';
}

/** `errata streams`, `errata streams create|drift|pause|resume`. */
export function addStreams(program: Command, contextOf: ContextOf): void {
  const streams = program
    .command('streams')
    .description('list the streams of edits; create, measure, pause or resume one')
    .addHelpText('after', '\nExample:\n  errata streams create --model SmolLM2-135M-Instruct --name facts');
  streams
    .command('list', { isDefault: true })
    .description('list the streams')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const found = await client.listStreams(context);
      context.result({ streams: found }, () => streamsTable(found));
    });
  streams
    .command('create')
    .description('create a stream on a model')
    .option('-m, --model <model>', 'name or id of the model (default: the only one)')
    .option('-n, --name <name>', 'name of the stream (default: made from the model’s)')
    .option('--preset <file>', 'settings in place of the model’s own preset, as "errata tune" writes them')
    .option('--layers <layers>', 'edited layers with commas between, in place of the preset’s')
    .option('--row-shards <count>', 'over how many shard workers each layer is spread', wholeNumber)
    .option('--forgetting <factor>', 'weight of earlier edits at each step, 0.9 to 1', Number)
    .addOption(
      new Option(
        '--resolver <how>',
        'how targets are found: searched for, or by one step, faster and far weaker',
      ).choices(['optimise', 'one-shot']),
    )
    .option('--corpus <corpus>', 'text behind the covariance: id of an uploaded one, or "model" for the model’s own')
    .option(
      '--from-adapter <adapter>',
      'begin with a LoRA adapter: its folder (errata export, or PEFT), or the id of an uploaded one',
    )
    .addOption(
      new Option('--conditioning <policy>', 'what becomes of a layer too ill-conditioned to be inverted').choices([
        'refuse',
        'raise-lambda',
      ]),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  errata streams create --name facts\n  errata streams create --name facts-2 --from-adapter facts-adapter',
    )
    .action(async (options: CreateOptions, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const { preset, rowShards, forgetting, resolver, corpus, conditioning } = options;
      const config: CreateStreamRequest['config'] = {
        ...(preset !== undefined && (await readPreset(context.env, preset))),
        ...(options.layers !== undefined && { layers: options.layers.split(',').map(Number) }),
        ...(rowShards !== undefined && { rowShards }),
        ...(forgetting !== undefined && { forgetting }),
        ...(resolver !== undefined && { resolver }),
        ...(corpus !== undefined && { corpus: corpus === 'model' ? { kind: 'model' as const } : { id: corpus } }),
        ...(conditioning !== undefined && { conditioning }),
      };
      const model = options.model ?? (await onlyModel(client.listModels(context)));
      const { fromAdapter } = options;
      const adapter = fromAdapter && (await uploadedAdapter(context, client, fromAdapter, model));
      const stream = await client.createStream(
        {
          model,
          ...(options.name !== undefined && { name: options.name }),
          ...(Object.keys(config).length > 0 && { config }),
          ...(adapter && { adapter: adapter.id }),
        },
        context,
      );
      context.result({ stream }, () =>
        [
          `Created ${stream.name} (${stream.id}) on ${stream.modelName}, layers ${stream.config.layers.join(', ')}.`,
          ...(adapter ? [`Its log begins with ${adapter.name}, rank ${adapter.rank}, as edit 1.`] : []),
          `Next: errata edit --stream ${quoted(stream.name)} --prompt "The capital of {} is" --subject Atlantis --target Poseidonis`,
        ].join('\n'),
      );
    });
  streams
    .command('drift')
    .description('how far a stream is from the unedited model, what it still knows, and how long its budgets last')
    .argument('[stream]', 'id or name of the stream')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata streams drift facts')
    .action(async (name: string | undefined, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, name ?? options.stream);
      const drift = await client.getDrift(stream.id, context);
      const { seq, layers, probes = {}, costShare, forecast = [] } = drift;
      context.result(drift, () =>
        [
          `${stream.name} at position ${seq}`,
          layersTable(layers),
          ...probeLines(probes),
          ...(forecast.length > 0 ? [forecastTable(forecast)] : []),
          ...(costShare == null
            ? []
            : [`Measuring has cost ${(100 * costShare).toFixed(1)} % of the time of editing.`]),
        ].join('\n'),
      );
    });
  for (const operation of ['pause', 'resume'] as const)
    streams
      .command(operation)
      .description(operation === 'pause' ? 'stop taking new batches; edits stay queued' : 'take batches again')
      .option(...streamOption)
      .addHelpText('after', `\nExample:\n  errata streams ${operation} --stream facts`)
      .action(async (options: { stream?: string }, command: Command) => {
        const context = contextOf(command);
        const client = await context.client();
        const { id } = await findStream(context, client, options.stream);
        const stream = await client[operation](id, context);
        context.result({ stream }, () => `${stream.name} is ${stream.status}.`);
      });
}

/** @throws UsageError naming the file and what is wrong with it */
async function readPreset(env: CliContext['env'], file: string): Promise<EditorConfig> {
  const path = fromHere(env, file);
  const text = await readGiven(path);
  try {
    return parsePreset(path, text).config;
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** @throws UNKNOWN_MODEL unless there is exactly one */
export async function onlyModel(listed: Promise<readonly { name: string }[]>): Promise<string> {
  const names = (await listed).map((model) => model.name);
  if (names.length === 1) return names[0];
  throw new ErrataError(
    'UNKNOWN_MODEL',
    names.length === 0
      ? 'No model is served yet: wait for the model runtime to start'
      : `There are ${names.length} models, name one with --model: ${names.join(', ')}`,
  );
}

function quoted(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `"${name}"`;
}
