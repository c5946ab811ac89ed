import type { Command } from 'commander';
import type { ModelBenchRun } from '../bench/model-bench.js';
import { type CliContext, type ContextOf, fromHere } from '../context.js';

interface SizeFlags {
  readonly edits: string;
  readonly batch: string;
  readonly model?: string;
}

interface ModelFlags extends SizeFlags {
  readonly rounds: string;
  readonly python?: string;
  readonly compare: boolean;
}

/** `errata bench targets|keys|generate|memory`. */
export function addModelBenches(bench: Command, contextOf: ContextOf): void {
  shared(bench.command('targets'))
    .description('time the search for targets against the plain loop and PyTorch')
    .addHelpText('after', '\nExample:\n  errata bench targets --edits 20 --json')
    .action(async (flags: ModelFlags, command: Command) => {
      const { benchTargets } = await import('../bench/targets-bench.js');
      const { targetsText } = await import('../bench/model-report.js');
      const context = contextOf(command);
      const report = await benchTargets(await optionsOf(flags, context), await runOf(flags, context));
      context.output.done();
      context.result(report, () => targetsText(report));
    });
  shared(bench.command('keys'))
    .description('time the keys of all edited layers')
    .addHelpText('after', '\nExample:\n  errata bench keys --json')
    .action(async (flags: ModelFlags, command: Command) => {
      const { benchKeys } = await import('../bench/keys-bench.js');
      const { keysText } = await import('../bench/model-report.js');
      const context = contextOf(command);
      const report = await benchKeys(await optionsOf(flags, context), await runOf(flags, context));
      context.output.done();
      context.result(report, () => keysText(report));
    });
  shared(bench.command('generate'))
    .description('time greedy generation')
    .option('--tokens <n>', 'tokens of a continuation', '64')
    .addHelpText('after', '\nExample:\n  errata bench generate --batch 8 --json')
    .action(async (flags: ModelFlags & { tokens: string }, command: Command) => {
      const { benchGenerate } = await import('../bench/generate-bench.js');
      const { generateText } = await import('../bench/model-report.js');
      const { wholeNumber } = await import('../bench/options.js');
      const context = contextOf(command);
      const tokens = wholeNumber('--tokens', flags.tokens, 2, 1000);
      const options = { ...(await optionsOf(flags, context)), tokens };
      const report = await benchGenerate(options, await runOf(flags, context));
      context.output.done();
      context.result(report, () => generateText(report));
    });
  sized(bench.command('memory'))
    .description('resident memory of a process that holds the model, for each kind of work of a model runtime')
    .option('--tokens <n>', 'tokens of a continuation and of a sampled sequence', '128')
    .addHelpText('after', '\nExample:\n  errata bench memory --json')
    .action(async (flags: SizeFlags & { tokens: string }, command: Command) => {
      const { benchMemory } = await import('../bench/memory-bench.js');
      const { memoryText } = await import('../bench/model-report.js');
      const { wholeNumber } = await import('../bench/options.js');
      const context = contextOf(command);
      const tokens = wholeNumber('--tokens', flags.tokens, 2, 1000);
      const run = { python: null, signal: context.signal, env: context.env, onProgress: context.output.live };
      const report = await benchMemory({ ...(await sizesOf(flags, context)), tokens }, run);
      context.output.done();
      context.result(report, () => memoryText(report));
    });
}

function sized(command: Command): Command {
  return command
    .option('--edits <n>', 'edits, of the example edits', '20')
    .option('--batch <n>', 'edits or prompts a batch', '10')
    .option('--model <file>', 'weight file (default: the installed model)');
}

function shared(command: Command): Command {
  return sized(command)
    .option('--rounds <n>', 'how often all of it runs', '2')
    .option('--python <path>', 'Python with PyTorch (default: ERRATA_PYTHON, else python3)')
    .option('--no-compare', 'leave PyTorch out');
}

async function sizesOf({ edits, batch, model: file }: SizeFlags, context: CliContext) {
  const { parseModelOptions } = await import('../bench/model-bench.js');
  const model = file === undefined ? {} : { model: fromHere(context.env, file) };
  return parseModelOptions({ edits, batch, ...model });
}

async function optionsOf(flags: ModelFlags, context: CliContext) {
  const { wholeNumber } = await import('../bench/options.js');
  return { ...(await sizesOf(flags, context)), rounds: wholeNumber('--rounds', flags.rounds, 1, 100) };
}

async function runOf(flags: ModelFlags, context: CliContext): Promise<ModelBenchRun> {
  const { choosePython } = await import('../bench/python.js');
  return {
    python: flags.compare ? choosePython(flags.python, context.env) : null,
    signal: context.signal,
    env: context.env,
    onProgress: context.output.live,
  };
}
