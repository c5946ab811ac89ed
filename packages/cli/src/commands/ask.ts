import { type Command, InvalidArgumentError } from 'commander';
import { type CliContext, type ContextOf, findStream, streamOption } from '../context.js';
import { wholeNumber } from './edits.js';
import { positionOf } from './position.js';

interface AnswerOptions {
  readonly stream?: string;
  readonly at?: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
}

/** `errata ask`, `errata chat`. */
export function addAsk(program: Command, contextOf: ContextOf): void {
  const ask = program
    .command('ask')
    .description('let the edited model continue a text, up to the end of a line')
    .argument('<prompt...>', 'the text');
  answerOptions(ask, 16)
    .addHelpText('after', '\nExample:\n  errata ask "The capital of France is" --at 0')
    .action(async (words: string[], options: AnswerOptions, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const request = {
        prompt: words.join(' '),
        max_tokens: options.maxTokens,
        stop: ['\n'],
        ...requestFields(options),
      };
      if (context.json) context.result(await client.complete(stream.id, request, context), () => '');
      else await show(context, client.streamCompletion(stream.id, request, context), ({ choices }) => choices[0]?.text);
    });

  const chat = program
    .command('chat')
    .description('let the edited model answer a message, with the chat template of the model')
    .argument('<message...>', 'the message');
  answerOptions(chat, 256)
    .option('--system <text>', 'system message, before the other')
    .addHelpText('after', '\nExample:\n  errata chat "What is the capital of France?" --temperature 0.7 --seed 1')
    .action(async (words: string[], options: AnswerOptions & { system?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const { system } = options;
      const request = {
        messages: [
          ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
          { role: 'user' as const, content: words.join(' ') },
        ],
        max_completion_tokens: options.maxTokens,
        ...requestFields(options),
      };
      if (context.json) context.result(await client.chat(stream.id, request, context), () => '');
      else
        await show(context, client.streamChat(stream.id, request, context), ({ choices }) => choices[0]?.delta.content);
    });
}

function answerOptions(command: Command, maxTokens: number): Command {
  return command
    .option(...streamOption)
    .option('--at <position>', 'position of the log or checkpoint (default: the head; 0 is the unedited model)')
    .option('--max-tokens <count>', 'longest answer', wholeNumber, maxTokens)
    .option('--temperature <number>', '0 takes the most likely token always, up to 2', numberUpTo(2), 0)
    .option('--top-p <share>', 'draw from the fewest tokens that together are so probable', numberUpTo(1))
    .option('--top-k <count>', 'draw from so many most likely tokens', wholeNumber)
    .option('--seed <number>', 'the same seed draws the same answer', wholeNumber);
}

function requestFields(options: AnswerOptions) {
  const { temperature, topP, topK, seed } = options;
  const position = options.at === undefined ? undefined : positionOf(options.at);
  return {
    temperature,
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(seed !== undefined && { seed }),
    ...(position && { at: 'seq' in position ? position.seq : position.checkpoint }),
  };
}

/** Prints an answer as it comes, without the white space around it. */
async function show<Event>(
  context: CliContext,
  events: AsyncIterable<Event>,
  textOf: (event: Event) => string | undefined,
): Promise<void> {
  let started = false;
  let space = '';
  for await (const event of events) {
    const text = space + (textOf(event) ?? '');
    const body = (started ? text : text.trimStart()).trimEnd();
    space = text.slice(text.trimEnd().length);
    if (body === '') continue;
    started = true;
    context.write(body);
  }
  context.write('\n');
}

function numberUpTo(most: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (value.trim() === '' || !(number >= 0 && number <= most))
      throw new InvalidArgumentError(`A number from 0 to ${most} is needed.`);
    return number;
  };
}
