import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { exportDtypes } from '@errata/contracts';
import { adoptAdapter } from '@errata/export';
import { type Command, Option } from 'commander';
import { type ContextOf, fromHere } from '../context.js';
import { UsageError } from '../failure.js';

interface AdoptOptions {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  readonly dtype: 'fp32' | 'fp16' | 'bf16';
}

/** `errata adopt`: works on files alone, without a running stack. */
export function addAdopt(program: Command, contextOf: ContextOf): void {
  program
    .command('adopt')
    .description('make a base model out of a base and a LoRA adapter, to continue from there')
    .requiredOption('-m, --model <path>', 'GGUF file or Hugging Face folder of the base')
    .requiredOption('--adapter <folder>', 'adapter of PEFT, such as errata export writes')
    .requiredOption('-o, --out <folder>', 'folder to write; it must not be there yet')
    .addOption(
      new Option('--dtype <type>', 'number format')
        .choices(exportDtypes.filter((type) => type !== 'q8_0'))
        .default('fp32'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  errata adopt --model base --adapter facts-adapter --out model-2\n  MODEL_PATH=model-2 errata up',
    )
    .action(async (options: AdoptOptions, command: Command) => {
      const context = contextOf(command);
      const out = fromHere(context.env, options.out);
      if (existsSync(out)) throw new UsageError(`${out} is there already: name another folder`);
      const manifest = await adoptAdapter({
        model: fromHere(context.env, options.model),
        adapter: fromHere(context.env, options.adapter),
        out,
        dtype: options.dtype,
        pause: async () => {
          context.signal.throwIfAborted();
          await setImmediate();
        },
        onProgress: ({ bytesDone, bytesTotal }) =>
          context.output.live(`writing: ${Math.floor((10 * bytesDone) / bytesTotal) * 10} %`),
      });
      context.output.done();
      context.result({ manifest, folder: out }, () =>
        [
          `${options.out} is ${manifest.model.name} with the changes of layers ${manifest.layers.map(({ layer }) => layer).join(', ')}.`,
          `Next: MODEL_PATH=${options.out} errata up`,
        ].join('\n'),
      );
    });
}
