import {
  budgetInfo,
  budgetNames,
  type GuardSettings,
  type ProbeKind,
  type ProbeResults,
  probeKinds,
} from '@errata/contracts';
import type { ProbeLedger } from '@errata/store';
import { cloze } from './cloze.js';

/** What the next measurement of a kind may take above the last one: other prompts, a busier machine. */
const margin = 1.25;
/** A window of held-out text against a prompt of some ten tokens, the first time: 256 tokens on the edited model and the unedited one. */
const promptsOfWindow = 140;
/** Prompts below which the time of a measurement says nothing of the time of a prompt. */
const fewPrompts = 16;
/** Rounds after which a kind that an acting budget waits for is measured whatever it costs. */
export const mostRoundsWaited = 10;

/**
 * Kinds in the order in which they have their turn: those first that an acting budget reads; of each the one that has waited
 * longest, the cheapest of those.
 */
export function turns(results: ProbeResults, acting: ReadonlySet<ProbeKind> = new Set()): ProbeKind[] {
  const rank = (kind: ProbeKind) => (acting.has(kind) ? 0 : 1);
  const since = (kind: ProbeKind) => results[kind]?.seq ?? -1;
  return [...probeKinds].sort(
    (a, b) => rank(a) - rank(b) || since(a) - since(b) || probeKinds.indexOf(a) - probeKinds.indexOf(b),
  );
}

/** Kinds that a budget reads which does more than warn: a guard that waits for them must not be left blind. */
export function guarded(settings: GuardSettings): ReadonlySet<ProbeKind> {
  const acting = budgetNames.filter((budget) => !['off', 'warn'].includes(settings.budgets[budget].action));
  return new Set(acting.flatMap((budget) => budgetInfo(budget).probe ?? []));
}

/** Most prompts that a measurement asks the model. */
function promptsOf(kind: ProbeKind, { edits, windows }: GuardSettings['probes'], results: ProbeResults): number {
  switch (kind) {
    case 'canaries':
      return results.canaries?.asked ?? fewPrompts;
    case 'retention':
      return results.retention?.asked ?? edits;
    case 'neighbours':
    case 'paraphrases':
      return 2 * (results[kind]?.asked ?? edits);
    case 'ability':
      return 2 * cloze.length;
    case 'heldOut':
      return promptsOfWindow * windows;
  }
}

/**
 * What measuring may cost. Editing earns a share of its time, measuring spends it. A kind is measured where what it will cost is
 * covered; where it is not, the round ends and what is left is saved for it, so that the dear ones have their turn too. What a
 * kind cost the last time, with a margin, is what it will cost; one that was never measured is reckoned by its prompts, at what a
 * prompt of the others took. The first of all has half of what its batch earned.
 */
export class ProbeBudget {
  #left: number;
  readonly #known: Partial<Record<ProbeKind, number>>;

  constructor(
    private readonly probes: GuardSettings['probes'],
    private readonly ledger: Pick<ProbeLedger, 'editSeconds' | 'batchSeconds' | 'probeSeconds' | 'costs' | 'results'>,
  ) {
    this.#left = probes.costShare * ledger.editSeconds - ledger.probeSeconds;
    this.#known = { ...ledger.costs };
  }

  /** Seconds that may still be spent. */
  get left(): number {
    return this.#left;
  }

  covers(kind: ProbeKind): boolean {
    return this.#left > 0 && this.#estimate(kind) <= this.#left;
  }

  /** Whether what an acting budget reads is measured although it is not covered: out of what is left, or when it has waited long. */
  owes(roundsWaited: number): boolean {
    return this.probes.costShare > 0 && (this.#left > 0 || roundsWaited >= mostRoundsWaited);
  }

  spend(kind: ProbeKind, seconds: number): void {
    this.#left -= seconds;
    this.#known[kind] = seconds;
  }

  #estimate(kind: ProbeKind): number {
    const last = this.#known[kind];
    if (last !== undefined) return margin * last;
    const known = probeKinds.flatMap((one) => {
      const seconds = this.#known[one];
      if (seconds === undefined) return [];
      return [{ seconds, prompts: Math.max(fewPrompts, promptsOf(one, this.probes, this.ledger.results)) }];
    });
    if (known.length === 0) return (this.probes.costShare * this.ledger.batchSeconds) / 2;
    const sum = (of: 'seconds' | 'prompts') => known.reduce((total, one) => total + one[of], 0);
    return margin * promptsOf(kind, this.probes, this.ledger.results) * (sum('seconds') / sum('prompts'));
  }
}
