import { writeFile } from 'node:fs/promises';
import { probeLimits } from '@errata/contracts';
import type { Command } from 'commander';
import { type ContextOf, findStream, fromHere, streamOption } from '../context.js';
import { UsageError } from '../failure.js';
import { driftPage } from '../report/drift-page.js';

/** `errata report drift`. */
export function addReport(program: Command, contextOf: ContextOf): void {
  const report = program
    .command('report')
    .description('reports as files')
    .addHelpText('after', '\nExample:\n  errata report drift facts --out report.html');
  report
    .command('drift')
    .description('drift, probes, budgets, guards and forecast of a stream as one HTML page that asks for nothing')
    .argument('[stream]', 'id or name of the stream')
    .option(...streamOption)
    .requiredOption('-o, --out <file>', 'where to write it')
    .addHelpText('after', '\nExample:\n  errata report drift facts --out report.html')
    .action(async (name: string | undefined, options: { stream?: string; out: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, name ?? options.stream);
      const [drift, guards, batches, rounds, events] = await Promise.all([
        client.getDrift(stream.id, context),
        client.getGuards(stream.id, context),
        client.listBatches(stream.id, context),
        client.listProbes(stream.id, { limit: probeLimits.rounds, signal: context.signal }),
        client.listEvents(stream.id, context),
      ]);
      const page = driftPage({ stream, drift, guards, batches, rounds, events, at: new Date().toISOString() });
      const out = fromHere(context.env, options.out);
      await writeFile(out, page).catch((cause: unknown) => {
        throw new UsageError(`${out} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
          cause,
        });
      });
      context.result(
        { file: out, stream: stream.id, seq: stream.head, rounds: rounds.length },
        () =>
          `${out}: ${stream.name} up to position ${stream.head}, ${rounds.length} rounds of probes. Open it in a browser.`,
      );
    });
}
