import { type GuardMemory, noMemory } from './guards.js';

/** What one run hands to the next; a plain object because a class would not survive the data converter. */
export interface StreamCarry {
  readonly paused: boolean;
  readonly failed: boolean;
  readonly prepared: boolean;
  /** Batches committed over the stream's life. */
  readonly batches: number;
  /** Left out by runs begun before there were guards. */
  readonly guards?: GuardMemory;
}

export interface StreamSnapshot extends StreamCarry {
  readonly phase: Phase;
}

/** What went wrong elsewhere: a code of the error table, and the message. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

export type Phase = 'preparing' | 'idle' | 'batch' | 'control';

/** Events after which a run hands over: far below Temporal's warning at 10,240, so that a long batch still fits. */
export const historyLimit = 4000;

/** Longest timer, 30 days: one for a time centuries away may be more than a server takes. */
const longestWait = 30 * 24 * 3_600_000;

/** The state of an edit-stream workflow, apart from Temporal so that it can be tested alone. */
export class StreamState {
  private paused: boolean;
  private failed: boolean;
  private prepared: boolean;
  private batches: number;
  guardMemory: GuardMemory;
  private phase: Phase = 'idle';
  /** True at the start: edits may have been stored before the workflow ran. */
  private pending = true;
  /** The same for what goes on while the stream is held: revocations that were asked for. */
  private orders = true;
  /** Milliseconds since 1970; null where no edit expires. */
  private nextExpiry: number | null = null;
  /** What the run that the stream waits for has said last; null while it has not. */
  private settled: { readonly failure: Failure | null } | null = null;
  private tail: Promise<unknown> = Promise.resolve();

  constructor(carry?: StreamCarry) {
    this.paused = carry?.paused ?? false;
    this.failed = carry?.failed ?? false;
    this.prepared = carry?.prepared ?? false;
    this.batches = carry?.batches ?? 0;
    this.guardMemory = carry?.guards ?? noMemory;
  }

  get isPrepared(): boolean {
    return this.prepared;
  }

  /** Whether the stream takes no new batches: it is paused, or has failed. */
  get held(): boolean {
    return this.paused || this.failed;
  }

  /** Whether the loop should look for a batch now. */
  get runnable(): boolean {
    return this.pending && !this.held;
  }

  /** Whether the loop should look for anything to do now. */
  get hasWork(): boolean {
    return this.orders || this.runnable;
  }

  wake(): void {
    this.pending = true;
    this.orders = true;
  }

  /** @param at an ISO time, or null where no edit expires */
  expiresNext(at: string | null): void {
    this.nextExpiry = at === null ? null : Date.parse(at);
  }

  /** Milliseconds until there is an edit to be taken out, at most `longestWait`; none while the stream is held. */
  untilExpiry(now: number): number | undefined {
    if (this.nextExpiry === null || this.held) return undefined;
    return Math.min(longestWait, Math.max(1, this.nextExpiry - now));
  }

  /** The queue was empty when it was looked at. A wake-up that came since then keeps the loop going. */
  drained(): void {
    this.pending = false;
    this.orders = false;
  }

  markPrepared(): void {
    this.prepared = true;
    this.failed = false;
  }

  /** From here on the stream waits to be told about its covariances. */
  awaitCovariances(): void {
    this.settled = null;
  }

  covariancesSettled(failure: Failure | null): void {
    this.settled = { failure };
  }

  get haveCovariancesSettled(): boolean {
    return this.settled !== null;
  }

  get covarianceFailure(): Failure | null {
    return this.settled?.failure ?? null;
  }

  committed(): void {
    this.batches += 1;
  }

  pause(): void {
    this.paused = true;
  }

  /** Also clears a failure: resuming is how a person says "try again". */
  resume(): void {
    this.paused = false;
    this.failed = false;
    this.pending = true;
  }

  fail(): void {
    this.failed = true;
  }

  shouldHandOver(historyLength: number, suggested: boolean, limit = historyLimit): boolean {
    return suggested || historyLength >= limit;
  }

  /** Runs pieces of work one after the other, in order of arrival: batches and changes of the head never overlap. */
  exclusive<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      this.phase = phase;
      try {
        return await work();
      } finally {
        this.phase = 'idle';
      }
    };
    const result = this.tail.then(run, run);
    this.tail = result.catch(() => undefined);
    return result;
  }

  carry(): StreamCarry {
    const { paused, failed, prepared, batches, guardMemory: guards } = this;
    return { paused, failed, prepared, batches, guards };
  }

  snapshot(): StreamSnapshot {
    return { ...this.carry(), phase: this.phase };
  }
}
