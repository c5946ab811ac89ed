import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { corpusLimits } from '@errata/contracts';
import type { Command } from 'commander';
import { type CliContext, type ContextOf, fromHere } from '../context.js';
import { UsageError } from '../failure.js';
import { corporaLines } from '../tables.js';

/** `errata corpora`, `errata corpora add|remove`. */
export function addCorpora(program: Command, contextOf: ContextOf): void {
  const corpora = program
    .command('corpora')
    .description('list the texts that covariances can be taken over; add or remove one')
    .addHelpText('after', '\nExample:\n  errata corpora add manual.txt glossary.txt --name products');
  corpora
    .command('list', { isDefault: true })
    .description('list the uploaded texts')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const found = await (await context.client()).listCorpora(context);
      context.result({ corpora: found }, () => corporaLines(found));
    });
  corpora
    .command('add')
    .description('upload files of UTF-8 text as one corpus')
    .argument('<files...>', 'text files, joined by an empty line')
    .option('-n, --name <name>', 'what to call it (default: the names of the files)')
    .addHelpText('after', '\nExample:\n  errata corpora add manual.txt')
    .action(async (files: string[], options: { name?: string }, command: Command) => {
      const context = contextOf(command);
      const texts = await Promise.all(files.map((file) => read(context, file)));
      const name = options.name ?? files.map((file) => basename(file)).join(', ');
      const client = await context.client();
      const corpus = await client.addCorpus(name.slice(0, corpusLimits.nameLength), joined(texts), context);
      context.result({ corpus }, () =>
        [
          `${corpus.id} holds ${corpus.bytes} bytes.`,
          `Next: errata streams create --name facts --corpus ${corpus.id}`,
        ].join('\n'),
      );
    });
  corpora
    .command('remove')
    .description('forget a text that no stream names')
    .argument('<id>', 'id of the corpus (crp_…)')
    .action(async (id: string, _options, command: Command) => {
      const context = contextOf(command);
      await (await context.client()).deleteCorpus(id, context);
      context.result({ id }, () => `${id} is forgotten.`);
    });
}

async function read({ env }: CliContext, file: string): Promise<Buffer> {
  try {
    return await readFile(fromHere(env, file));
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Bytes as they are: whether they are text is for the API to say. */
function joined(texts: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const parts = texts.flatMap((text, i) => (i === 0 ? [text] : [Buffer.from('\n\n'), text]));
  return new Uint8Array(Buffer.concat(parts));
}
