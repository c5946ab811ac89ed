import {
  type Budget,
  budgetInfo,
  budgetNames,
  type GuardAction,
  type GuardsResponse,
  guardActions,
  isExceeded,
  type SetGuardsRequest,
} from '@errata/contracts';
import { type Command, Option } from 'commander';
import { type ContextOf, findStream, streamOption } from '../context.js';
import { shownValue } from '../drift-text.js';
import { UsageError } from '../failure.js';
import { textTable } from '../tables.js';

interface SetOptions {
  readonly stream?: string;
  readonly budget: readonly Change[];
  readonly action?: GuardAction;
  readonly notify?: string | false;
  readonly rollbackTo?: 'position' | 'checkpoint';
  readonly cost?: number;
  readonly every?: number;
  readonly edits?: number;
  readonly windows?: number;
  readonly ability?: boolean;
}

/** A budget with what is to change of it. */
interface Change {
  readonly budget: Budget;
  readonly limit?: number;
  readonly action?: GuardAction;
}

/** `errata guards show|set`. */
export function addGuards(program: Command, contextOf: ContextOf): void {
  const guards = program
    .command('guards')
    .description('what is watched of a stream, and what happens when a budget is exceeded')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata guards set --budget divergence=0.2:rollback --notify ops');
  guards
    .command('show', { isDefault: true })
    .description('the budgets, what happens when they are exceeded, and where they stand')
    .option(...streamOption)
    .action(async (options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const found = await client.getGuards(stream.id, context);
      context.result(found, () => guardsText(found));
    });
  guards
    .command('set')
    .description('change budgets, actions and how much is measured; what is left out stays')
    .option(...streamOption)
    .option(
      '-b, --budget <name=limit:action>',
      'a budget: "divergence=0.2:rollback", "retention=0.95", "boundShare=:off"; may be repeated',
      (text: string, before: readonly Change[]) => [...before, changeOf(text)],
      [] as readonly Change[],
    )
    .addOption(new Option('--action <action>', 'what happens for every budget').choices(guardActions))
    .option('--notify <receiver>', 'receiver in the orchestrator’s WEBHOOK_TARGETS that is told')
    .option('--no-notify', 'tell nobody')
    .addOption(
      new Option(
        '--rollback-to <what>',
        'where a rollback ends: the last good position, or the last checkpoint up to it',
      ).choices(['position', 'checkpoint']),
    )
    .option('--cost <share>', 'most that measuring may cost, over the time of editing (0 to 100)', Number)
    .option('--every <steps>', 'a round after every so many steps', Number)
    .option('--edits <count>', 'earlier edits asked in a round', Number)
    .option('--windows <count>', 'windows of 256 tokens of held-out text in a round', Number)
    .option('--ability', 'ask the built-in questions of general knowledge')
    .option('--no-ability', 'do not ask them')
    .addHelpText(
      'after',
      `\nBudgets: ${budgetNames.join(', ')}\nExamples:\n  errata guards set --budget divergence=0.2:rollback --budget retention=0.95:pause\n  errata guards set --action warn --cost 0.05`,
    )
    .action(async (options: SetOptions, command: Command) => {
      const context = contextOf(command);
      const change = requestOf(options);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const found = await client.setGuards(stream.id, change, context);
      context.result(found, () => guardsText(found));
    });
}

/** @throws UsageError where nothing would change */
function requestOf(options: SetOptions): SetGuardsRequest {
  const { action, notify, rollbackTo, cost, every, edits, windows, ability } = options;
  const budgets: NonNullable<SetGuardsRequest['budgets']> = {};
  if (action !== undefined) for (const budget of budgetNames) budgets[budget] = { action };
  for (const { budget, ...change } of options.budget) budgets[budget] = { ...budgets[budget], ...change };
  const probes = {
    ...(cost !== undefined && { costShare: cost }),
    ...(every !== undefined && { every }),
    ...(edits !== undefined && { edits }),
    ...(windows !== undefined && { windows }),
    ...(ability !== undefined && { ability }),
  };
  const change: SetGuardsRequest = {
    ...(Object.keys(budgets).length > 0 && { budgets }),
    ...(Object.keys(probes).length > 0 && { probes }),
    ...(rollbackTo !== undefined && { rollbackTo }),
    ...(notify !== undefined && { notify: notify === false ? null : notify }),
  };
  if (Object.keys(change).length === 0)
    throw new UsageError('say what to change: --budget, --action, --notify, --rollback-to, --cost, --every, …');
  return change;
}

/** @throws UsageError */
function changeOf(text: string): Change {
  const [, name = '', limit = '', action = ''] = /^([A-Za-z]+)(?:=([^:]*))?(?::(.*))?$/.exec(text) ?? [];
  const budget = budgetNames.find((one) => one === name);
  if (budget === undefined)
    throw new UsageError(
      `--budget ${text}: there is no budget ${JSON.stringify(name)}; there are ${budgetNames.join(', ')}`,
    );
  const known = guardActions.find((one) => one === action);
  if (action !== '' && known === undefined)
    throw new UsageError(`--budget ${text}: ${JSON.stringify(action)} is none of ${guardActions.join(', ')}`);
  const number = Number(limit);
  if (limit !== '' && !Number.isFinite(number)) throw new UsageError(`--budget ${text}: ${limit} is no number`);
  if (limit === '' && action === '')
    throw new UsageError(`--budget ${text}: give a limit, an action or both, as ${name}=0.2:rollback`);
  return { budget, ...(limit !== '' && { limit: number }), ...(known !== undefined && { action: known }) };
}

function guardsText({ settings, readings }: GuardsResponse): string {
  const { probes, notify, rollbackTo } = settings;
  const rows = budgetNames.map((budget) => {
    const { limit, action } = settings.budgets[budget];
    const { side } = budgetInfo(budget);
    const reading = readings.find((one) => one.budget === budget);
    const stands = reading ? `${shownValue(budget, reading.value)}${isExceeded(reading) ? ' EXCEEDED' : ''}` : '';
    return [budget, `${side} ${shownValue(budget, limit)}`, action, stands, reading?.seq ?? ''];
  });
  return [
    textTable(['budget', 'exceeded', 'then', 'stands at', 'seq'], rows),
    `Measured every ${probes.every} steps, at most ${(100 * probes.costShare).toFixed(0)} % of the time of editing: ${probes.edits} edits, ${probes.windows} windows of held-out text${probes.ability ? ', general knowledge' : ''}, canaries.`,
    `A rollback ends at the last ${rollbackTo === 'position' ? 'position known to be good' : 'checkpoint known to be good'}. ${notify === null ? 'Nobody is told.' : `${notify} is told.`}`,
  ].join('\n');
}
