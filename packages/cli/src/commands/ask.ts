import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { wholeNumber } from './edits.js';
import { positionOf } from './history.js';

/** `errata ask`. */
export function addAsk(program: Command, contextOf: ContextOf): void {
  program
    .command('ask')
    .description('ask the edited model to continue a text')
    .argument('<prompt...>', 'the text')
    .option(...streamOption)
    .option('--at <position>', 'position of the log or checkpoint (default: the head; 0 is the unedited model)')
    .option('--max-tokens <count>', 'longest answer', wholeNumber, 16)
    .addHelpText('after', '\nExample:\n  errata ask "The capital of France is" --at 0')
    .action(async (words: string[], options: { stream?: string; at?: string; maxTokens: number }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const position = options.at === undefined ? undefined : positionOf(options.at);
      const answer = await client.complete(
        stream.id,
        {
          prompt: words.join(' '),
          maxTokens: options.maxTokens,
          ...(position && { at: 'seq' in position ? position.seq : position.checkpoint }),
        },
        context,
      );
      context.result(answer, () => answer.text.trim());
    });
}
