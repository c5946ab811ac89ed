import type { Command } from 'commander';
import { uploadedAdapter } from '../adapter-folder.js';
import type { ContextOf } from '../context.js';
import { adapterLines } from '../tables.js';
import { onlyModel } from './streams.js';

/** `errata adapters`, `errata adapters add|remove`. */
export function addAdapters(program: Command, contextOf: ContextOf): void {
  const adapters = program
    .command('adapters')
    .description('list the adapters that streams can begin with; add or remove one')
    .addHelpText('after', '\nExample:\n  errata adapters add facts-adapter');
  adapters
    .command('list', { isDefault: true })
    .description('list the uploaded adapters')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const found = await (await context.client()).listAdapters(context);
      context.result({ adapters: found }, () => adapterLines(found));
    });
  adapters
    .command('add')
    .description('upload the folder of a LoRA adapter: one of errata export, or another of PEFT')
    .argument('<folder>', 'folder with adapter_config.json and adapter_model.safetensors')
    .option('-m, --model <model>', 'name or id of the model (default: the only one)')
    .addHelpText('after', '\nExample:\n  errata adapters add facts-adapter')
    .action(async (folder: string, options: { model?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const model = options.model ?? (await onlyModel(client.listModels(context)));
      const adapter = await uploadedAdapter(context, client, folder, model);
      context.result({ adapter }, () =>
        [adapterLines([adapter]), `Next: errata streams create --name facts-2 --from-adapter ${adapter.id}`].join('\n'),
      );
    });
  adapters
    .command('remove')
    .description('forget an adapter that no stream begins with')
    .argument('<id>', 'id of the adapter (adp_…)')
    .action(async (id: string, _options, command: Command) => {
      const context = contextOf(command);
      await (await context.client()).deleteAdapter(id, context);
      context.result({ id }, () => `${id} is forgotten.`);
    });
}
