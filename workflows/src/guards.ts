import type { GuardAction, GuardReading } from '@errata/contracts';

/** The mildest first. */
const severity: readonly GuardAction[] = ['off', 'warn', 'pause', 'quarantine', 'rollback'];
/** Batches in a row that a guard takes back before it pauses the stream: then it is not the batches that are at fault. */
export const mostTakenBack = 3;

/** What guards remember from one batch to the next. */
export interface GuardMemory {
  /** Budgets that were exceeded when they were measured last. */
  readonly exceeded: readonly string[];
  /** Batches taken back since the last that was not. */
  readonly takenBack: number;
}

/** What is to be done about a batch. */
export interface Verdict {
  readonly action: Exclude<GuardAction, 'off'>;
  /** Budgets that are exceeded. */
  readonly trips: readonly GuardReading[];
  readonly pause: boolean;
}

/** What the decision is made from: the budgets as measured after this batch, and what kind of batch it was. */
export interface Judged {
  readonly readings: readonly GuardReading[];
  /** Whether the batch takes edits out, or is part of an operation that does: such a one is never undone by a guard. */
  readonly removal: boolean;
}

export const noMemory: GuardMemory = { exceeded: [], takenBack: 0 };

function isExceeded({ side, value, limit }: GuardReading): boolean {
  return side === 'above' ? value > limit : value < limit;
}

/**
 * Judges a batch. The strongest action of the budgets that are exceeded is taken; one that only warns does so once, until it has
 * been within its limit again.
 */
export function judge(
  { readings, removal }: Judged,
  memory: GuardMemory,
): { verdict: Verdict | null; memory: GuardMemory } {
  const trips = readings.filter((reading) => reading.action !== 'off' && isExceeded(reading));
  const fine = readings.filter((reading) => !isExceeded(reading)).map(({ budget }) => budget as string);
  const known = memory.exceeded.filter((budget) => !fine.includes(budget));
  const acting = trips.filter(({ action, budget }) => action !== 'warn' || !known.includes(budget));
  if (acting.length === 0)
    return { verdict: null, memory: { exceeded: known, takenBack: trips.length > 0 ? memory.takenBack : 0 } };
  const strongest = acting
    .map(({ action }) => action)
    .reduce((a, b) => (severity.indexOf(a) >= severity.indexOf(b) ? a : b));
  const takesBack = strongest === 'quarantine' || strongest === 'rollback';
  const action = takesBack && removal ? 'pause' : strongest;
  if (action === 'off') return { verdict: null, memory };
  if (action === 'quarantine' || action === 'rollback') {
    const takenBack = memory.takenBack + 1;
    const pause = takenBack >= mostTakenBack;
    // What is exceeded goes with the batch.
    return { verdict: { action, trips, pause }, memory: { exceeded: [], takenBack: pause ? 0 : takenBack } };
  }
  const exceeded = [...new Set([...known, ...trips.map(({ budget }) => budget as string)])];
  return { verdict: { action, trips, pause: action === 'pause' }, memory: { exceeded, takenBack: 0 } };
}
