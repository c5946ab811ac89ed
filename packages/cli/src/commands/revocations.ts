import type { RevokeDraft } from '@errata/client';
import type { EditSelection } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { previewText, progressText, revocationsText, revocationText } from '../revocation-text.js';

interface RevokeOptions {
  stream?: string;
  tag: string[];
  source: string[];
  createdFrom?: string;
  createdBefore?: string;
  committedFrom?: string;
  committedBefore?: string;
  reason?: string;
  retarget: boolean;
  verify: boolean;
  dryRun: boolean;
  key?: string;
  wait: boolean;
}

const collect = (value: string, all: string[]) => [...all, value];

/** `errata revoke`, `errata revocations`. */
export function addRevocations(program: Command, contextOf: ContextOf): void {
  program
    .command('revoke')
    .description('take edits back out of the model, exactly: those that meet every condition given')
    .argument('[edits...]', 'ids of the edits (edt_…)')
    .option(...streamOption)
    .option('--tag <tag>', 'only edits with this tag (repeatable: with one of them)', collect, [])
    .option('--source <source>', 'only edits from this source (repeatable: from one of them)', collect, [])
    .option('--created-from <time>', 'only edits accepted at or after this time, such as 2026-01-31T09:00:00+01:00')
    .option('--created-before <time>', 'only edits accepted before this time')
    .option('--committed-from <time>', 'only edits first written at or after this time')
    .option('--committed-before <time>', 'only edits first written before this time')
    .option('-r, --reason <text>', 'kept with the edits')
    .option('--retarget', 'resolve the edits written after them again, and rewrite them', false)
    .option('--verify', 'recompute every layer in fp64 afterwards and report the deviation', false)
    .option('--dry-run', 'list what would go, and change nothing', false)
    .option('--key <key>', 'Idempotency-Key: the same key and conditions take out once')
    .option('--no-wait', 'return when it is stored; see how far it is with: errata revocations')
    .addHelpText(
      'after',
      '\nExamples:\n  errata revoke edt_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f --reason "no longer true"\n  errata revoke --source "price list 2025" --dry-run\n  errata revoke --tag prices --committed-from 2026-01-31T00:00:00Z --retarget --verify',
    )
    .action(async (edits: string[], options: RevokeOptions, command: Command) => {
      const context = contextOf(command);
      const selection = selectionOf(edits, options);
      if (Object.keys(selection).length === 0)
        throw new UsageError('say which edits: give ids, --tag, --source, --created-… or --committed-…');
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      if (options.dryRun) {
        const preview = await client.previewRevocation(stream.id, selection, context);
        context.result(preview, () => previewText(preview));
        return;
      }
      const { reason, retarget, verify, key: idempotencyKey } = options;
      const request: RevokeDraft = { ...selection, retarget, verify, ...(reason !== undefined && { reason }) };
      const call = { signal: context.signal, idempotencyKey };
      if (!options.wait) {
        const started = await client.startRevocation(stream.id, request, call);
        context.result(started, () => `${started.id} is ${started.status}. Follow it with: errata revocations`);
        return;
      }
      const onProgress = (now: Parameters<typeof progressText>[0]) => context.output.live(progressText(now));
      const revocation = await client.revoke(stream.id, request, undefined, { ...call, onProgress });
      context.output.done();
      context.result(revocation, () => revocationText(revocation));
    });

  const revocations = program
    .command('revocations')
    .description('list revocations and expiries, or show one')
    .argument('[revocation]', 'id of one (rev_…)')
    .option(...streamOption)
    .addHelpText(
      'after',
      '\nExamples:\n  errata revocations\n  errata revocations cancel rev_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f',
    )
    .action(async (id: string | undefined, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      if (id !== undefined) {
        const revocation = await client.getRevocation(stream.id, id, context);
        context.result(revocation, () => `${revocation.status}. ${revocationText(revocation)}`);
        return;
      }
      const list = await client.listRevocations(stream.id, context);
      context.result({ revocations: list }, () => revocationsText(list));
    });

  revocations
    .command('cancel')
    .description('end a revocation after the batch under way; what is committed stays')
    .argument('<revocation>', 'id of the revocation (rev_…)')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata revocations cancel rev_0193f0c2a1b47c6e8d5f3a2b1c0d9e8f')
    .action(async (id: string, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const revocation = await client.cancelRevocation(stream.id, id, context);
      context.result(revocation, () => `${id} is ${revocation.status}: ${progressText(revocation)}.`);
    });
}

function selectionOf(edits: readonly string[], options: RevokeOptions): EditSelection {
  const created = range(options.createdFrom, options.createdBefore);
  const committed = range(options.committedFrom, options.committedBefore);
  return {
    ...(edits.length > 0 && { edits: [...edits] }),
    ...(options.tag.length > 0 && { tags: options.tag }),
    ...(options.source.length > 0 && { sources: options.source }),
    ...(created && { created }),
    ...(committed && { committed }),
  };
}

function range(from: string | undefined, before: string | undefined): { from?: string; before?: string } | null {
  if (from === undefined && before === undefined) return null;
  return { ...(from !== undefined && { from }), ...(before !== undefined && { before }) };
}
