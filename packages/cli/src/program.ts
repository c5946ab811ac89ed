import { createClient } from '@errata/client';
import { defaultDataDir } from '@errata/devstack';
import { Command } from 'commander';
import { apiAddress } from './api-address.js';
import { addAdapters } from './commands/adapters.js';
import { addAdopt } from './commands/adopt.js';
import { addAsk } from './commands/ask.js';
import { addBench } from './commands/bench.js';
import { addBranches } from './commands/branches.js';
import { addCanaries } from './commands/canaries.js';
import { addCompare } from './commands/compare.js';
import { addConformance } from './commands/conformance.js';
import { addCorpora } from './commands/corpora.js';
import { addDoctor } from './commands/doctor.js';
import { addEdit } from './commands/edit.js';
import { addEdits } from './commands/edits.js';
import { addExport } from './commands/export.js';
import { addGuards } from './commands/guards.js';
import { addHistory } from './commands/history.js';
import { addPublish } from './commands/publish.js';
import { addQuarantine } from './commands/quarantine.js';
import { addReport } from './commands/report.js';
import { addRetention } from './commands/retention.js';
import { addRevocations } from './commands/revocations.js';
import { addStack } from './commands/stack.js';
import { addStatus } from './commands/status.js';
import { addStreams } from './commands/streams.js';
import { addTune } from './commands/tune.js';
import type { CliContext, ContextOf } from './context.js';
import { createOutput } from './start/output.js';

/** What the program talks to; the process's own outside of tests. */
export interface ProgramIo {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** The `errata` command with all its subcommands. Throws instead of exiting. */
export function createProgram(io: ProgramIo): Command {
  const program = new Command('errata')
    .description('Corrections for a deployed language model: written into its weights, verified, reversible')
    .option('--api <address>', 'address of the API (default: ERRATA_API, else the running stack)')
    .option('--json', 'print one JSON object instead of text', false)
    .showHelpAfterError('Try "errata --help".')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    })
    .addHelpText(
      'after',
      '\nExamples:\n  errata up\n  errata edit --prompt "The head office of {} is in" --subject "Nordlicht Robotics" --target "Bremen"\n  errata ask "The head office of Nordlicht Robotics is in"',
    );
  const contextOf: ContextOf = (command) => contextFrom(command, io);
  addStack(program, contextOf);
  addEdit(program, contextOf);
  addEdits(program, contextOf);
  addRevocations(program, contextOf);
  addStreams(program, contextOf);
  addCorpora(program, contextOf);
  addAdapters(program, contextOf);
  addHistory(program, contextOf);
  addBranches(program, contextOf);
  addGuards(program, contextOf);
  addCanaries(program, contextOf);
  addQuarantine(program, contextOf);
  addReport(program, contextOf);
  addCompare(program, contextOf);
  addRetention(program, contextOf);
  addExport(program, contextOf);
  addAdopt(program, contextOf);
  addPublish(program, contextOf);
  addAsk(program, contextOf);
  addDoctor(program, contextOf);
  addStatus(program, contextOf);
  addBench(program, contextOf);
  addTune(program, contextOf);
  addConformance(program, contextOf);
  shareOptions(program);
  program.hook('preAction', (_, command) => takeOptions(command));
  return program;
}

/** --api and --json may stand before or after the name of a command. */
function shareOptions(command: Command): void {
  for (const sub of command.commands) {
    if (!sub.options.some((option) => option.long === '--api')) sub.option('--api <address>', 'address of the API');
    if (!sub.options.some((option) => option.long === '--json')) sub.option('--json', 'print one JSON object');
    sub.exitOverride();
    shareOptions(sub);
  }
}

/** Options that a command shares with those it is below, such as --stream, may be read by them: the nearest value is its own. */
function takeOptions(command: Command): void {
  for (const name of command.options.map((option) => option.attributeName()))
    for (let at = command.parent; at; at = at.parent)
      if (command.getOptionValueSource(name) !== 'cli' && at.getOptionValueSource(name) === 'cli')
        command.setOptionValueWithSource(name, at.getOptionValue(name), 'cli');
}

function contextFrom(command: Command, io: ProgramIo): CliContext {
  const { api, json = false } = command.opts<{ api?: string; json?: boolean }>();
  // What is piped on is the result alone.
  const output = createOutput(json || !io.stdout.isTTY ? io.stderr : io.stdout);
  return {
    json,
    async client() {
      return createClient({ baseUrl: await apiAddress(api, io.env, defaultDataDir(io.env)) });
    },
    output,
    result(value, text) {
      io.stdout.write(`${json ? JSON.stringify(value) : text()}\n`);
    },
    write(text) {
      io.stdout.write(text);
    },
    signal: io.signal,
    env: io.env,
  };
}
