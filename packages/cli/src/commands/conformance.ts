import type { Command } from 'commander';
import { type ContextOf, fromHere } from '../context.js';
import { UsageError } from '../failure.js';

/** `errata conformance`. */
export function addConformance(program: Command, contextOf: ContextOf): void {
  program
    .command('conformance')
    .description(
      'check fixture files (RLS, tokenizer, model, GGUF) against this implementation, one JSON line a file; or a running model runtime against its contract, one line a requirement',
    )
    .argument('[files...]', 'fixture files')
    .option('--runtime <host:port>', 'a model runtime that implements errata.v1.ModelRuntimeService')
    .addHelpText(
      'after',
      '\nExamples:\n  errata conformance packages/rls/fixtures/*.json\n  errata conformance --runtime 127.0.0.1:7441',
    )
    .action(async (files: string[], { runtime }: { runtime?: string }, command: Command) => {
      if ((files.length === 0) === (runtime === undefined))
        throw new UsageError('name fixture files, or a model runtime with --runtime HOST:PORT');
      if (runtime !== undefined) {
        const { runRuntimeConformance } = await import('../conformance/runtime.js');
        process.exitCode = await runRuntimeConformance(runtime);
        return;
      }
      const context = contextOf(command);
      const { runConformance } = await import('../conformance/index.js');
      process.exitCode = await runConformance(files.map((file) => fromHere(context.env, file)));
    });
}
