import { type ProbeKind, type ProbeResults, probeKinds } from '@errata/contracts';
import type { ProbeLedger } from '@errata/store';

/** Kinds in the order in which they have their turn: the one that has waited longest first, the cheapest of those. */
export function turns(results: ProbeResults): ProbeKind[] {
  const since = (kind: ProbeKind) => results[kind]?.seq ?? -1;
  return [...probeKinds].sort((a, b) => since(a) - since(b) || probeKinds.indexOf(a) - probeKinds.indexOf(b));
}

/**
 * What measuring may cost. Editing earns a share of its time, measuring spends it. A kind is measured where what it cost the
 * last time is covered; where it is not, the round ends and what is left is saved for it, so that the dear ones have their turn too.
 * What was never measured is, whatever it will cost, as soon as anything is left: the debt is worked off afterwards.
 */
export class ProbeBudget {
  #left: number;

  constructor(
    share: number,
    { editSeconds, probeSeconds }: Pick<ProbeLedger, 'editSeconds' | 'probeSeconds'>,
    private readonly costs: ProbeLedger['costs'],
  ) {
    this.#left = share * editSeconds - probeSeconds;
  }

  /** Seconds that may still be spent. */
  get left(): number {
    return this.#left;
  }

  covers(kind: ProbeKind): boolean {
    return this.#left > 0 && (this.costs[kind] ?? 0) <= this.#left;
  }

  spend(seconds: number): void {
    this.#left -= seconds;
  }
}
