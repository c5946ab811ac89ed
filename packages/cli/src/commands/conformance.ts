import type { Command } from 'commander';
import { type ContextOf, fromHere } from '../context.js';

/** `errata conformance`. */
export function addConformance(program: Command, contextOf: ContextOf): void {
  program
    .command('conformance')
    .description('check fixture files (RLS, tokenizer, model, GGUF) against this implementation; one JSON line a file')
    .argument('<files...>', 'fixture files')
    .addHelpText('after', '\nExample:\n  errata conformance packages/rls/fixtures/*.json')
    .action(async (files: string[], _options, command: Command) => {
      const context = contextOf(command);
      const { runConformance } = await import('../conformance/index.js');
      process.exitCode = await runConformance(files.map((file) => fromHere(context.env, file)));
    });
}
