import type { Canary } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { textTable } from '../tables.js';

/** `errata canaries add|list|remove`. */
export function addCanaries(program: Command, contextOf: ContextOf): void {
  const canaries = program
    .command('canaries')
    .description('questions whose answers must stay, asked after batches')
    .option(...streamOption)
    .addHelpText(
      'after',
      '\nExample:\n  errata canaries add capital --prompt "The capital of France is" --expected Paris\n  errata guards set --budget canariesLost=0:rollback',
    );
  canaries
    .command('list', { isDefault: true })
    .description('list them, and what became of them')
    .option(...streamOption)
    .action(async (options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const found = await client.listCanaries(stream.id, context);
      context.result({ canaries: found }, () => canariesText(found));
    });
  canaries
    .command('add')
    .description('ask this after batches as well')
    .argument('<name>', 'lower-case letters, digits, . _ -')
    .requiredOption('--prompt <text>', 'what the model is given')
    .requiredOption('--expected <text>', 'how it must go on, without the joining space')
    .option(...streamOption)
    .action(async (name: string, options: { stream?: string; prompt: string; expected: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const { prompt, expected } = options;
      const canary = await client.addCanary(stream.id, { name, prompt, expected }, context);
      context.result(
        { canary },
        () =>
          `${name} is asked after the next batch. What happens when it is lost: errata guards set --budget canariesLost=0:rollback`,
      );
    });
  canaries
    .command('remove')
    .description('ask it no more')
    .argument('<name>', 'its name')
    .option(...streamOption)
    .action(async (name: string, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      await client.removeCanary(stream.id, name, context);
      context.result({ name }, () => `${name} is asked no more.`);
    });
}

function stateOf({ holds, baseHolds, seq, heldSeq }: Canary): string {
  if (holds === null) return 'not asked yet';
  if (holds) return `holds at ${seq}`;
  if (baseHolds || heldSeq !== null) return `LOST at ${seq}${heldSeq === null ? '' : `, held at ${heldSeq}`}`;
  return `never held (asked at ${seq})`;
}

function canariesText(canaries: readonly Canary[]): string {
  if (canaries.length === 0)
    return 'No canaries. Add one with: errata canaries add NAME --prompt "The capital of France is" --expected Paris';
  return textTable(
    ['name', 'prompt', 'expected', 'state'],
    canaries.map((canary) => [canary.name, canary.prompt, canary.expected, stateOf(canary)]),
  );
}
