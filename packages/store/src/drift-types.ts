import type {
  AgeBucket,
  Canary,
  CanaryInput,
  Edit,
  Forecast,
  GuardAction,
  GuardReading,
  GuardSettings,
  LayerDrift,
  ProbeKind,
  ProbeResults,
  ProbeRound,
  SetGuardsRequest,
} from '@errata/contracts';

/** An earlier edit, drawn to be asked again. */
export interface SampledEdit {
  readonly edit: Edit;
  readonly age: AgeBucket;
}

/** What a canary was found to be. */
export interface CanaryOutcome {
  readonly name: string;
  readonly baseHolds: boolean;
  readonly holds: boolean;
}

/** What a round has to know of those before it. */
export interface ProbeLedger {
  /** Seconds of editing over the life of the stream, the batch in question included. */
  readonly editSeconds: number;
  /** Those of the batch in question. */
  readonly batchSeconds: number;
  /** Seconds of measuring before the batch. */
  readonly probeSeconds: number;
  /** Newest result of every kind along the lineage. */
  readonly results: ProbeResults;
  /** Seconds that each kind took the last time. */
  readonly costs: Readonly<Partial<Record<ProbeKind, number>>>;
  /** Steps since a round measured anything; Infinity where none has. */
  readonly sinceRound: number;
}

/** A round as it was measured. */
export interface NewRound {
  readonly measured: readonly ProbeKind[];
  readonly results: ProbeResults;
  readonly costs: Readonly<Partial<Record<ProbeKind, number>>>;
  readonly readings: readonly GuardReading[];
  /** All that measuring took after the batch, the drift of the layers included. */
  readonly seconds: number;
}

/** What a guard is to do. */
export interface GuardOrder {
  readonly seq: number;
  readonly action: Exclude<GuardAction, 'off'>;
  readonly trips: readonly GuardReading[];
  /** Position to go back to, for `rollback`. */
  readonly to: number | null;
  /** Whether the stream is paused besides. */
  readonly pause: boolean;
}

export interface GuardOutcome {
  readonly head: number;
  /** Edits that went into quarantine. */
  readonly quarantined: number;
  /** Id of what is to be delivered; null where nobody is to be told. */
  readonly delivery: string | null;
}

/** A notification that is to be brought to its receiver. */
export interface WebhookDelivery {
  readonly id: string;
  readonly streamId: string;
  readonly seq: number;
  readonly receiver: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly status: 'pending' | 'delivered' | 'failed';
  readonly attempts: number;
  readonly detail: string | null;
  readonly createdAt: string;
}

/** What monitoring shows of the newest round of a stream up to its head. */
export interface ProbeFigures {
  readonly streamId: string;
  readonly seq: number;
  readonly results: ProbeResults;
  readonly readings: readonly GuardReading[];
  readonly costShare: number;
  readonly quarantined: number;
}

/** Probes after batches, budgets, and what becomes of a stream that exceeds them. */
export interface DriftStore {
  /** What the guards of a stream are set to: its own settings, else its origin's, else the defaults. @throws UNKNOWN_STREAM */
  getGuards(streamId: string): Promise<GuardSettings>;
  /** @throws UNKNOWN_STREAM */
  setGuards(streamId: string, change: SetGuardsRequest): Promise<GuardSettings>;
  listCanaries(streamId: string): Promise<Canary[]>;
  /** The same canary again is a no-op. @throws NAME_TAKEN another has its name, INVALID_REQUEST too many */
  addCanary(streamId: string, canary: CanaryInput): Promise<Canary>;
  /** @throws UNKNOWN_CANARY */
  removeCanary(streamId: string, name: string): Promise<void>;
  settleCanaries(streamId: string, seq: number, outcomes: readonly CanaryOutcome[]): Promise<void>;
  /**
   * Edits written before a position that are verified and in the weights: the same of every age whenever they are drawn, so
   * that one edit is followed for as long as it lives. At most `count`, spread over the ages.
   */
  sampleEdits(streamId: string, seq: number, count: number): Promise<SampledEdit[]>;
  probeLedger(streamId: string, seq: number): Promise<ProbeLedger>;
  /** Keeps the round of a batch; the first stays. Answers the budgets as they were found. */
  saveRound(streamId: string, seq: number, round: NewRound): Promise<readonly GuardReading[]>;
  /** The budgets that the round of a batch found; null where there was none yet. */
  roundReadings(streamId: string, seq: number): Promise<readonly GuardReading[] | null>;
  /** The newest rounds, oldest first. @throws UNKNOWN_STREAM */
  listRounds(streamId: string, limit: number): Promise<ProbeRound[]>;
  /** The drift of the layers after a batch; none where it was not measured. */
  batchDrift(streamId: string, seq: number): Promise<readonly LayerDrift[]>;
  /** How many edits are left until each budget is reached. @throws UNKNOWN_STREAM */
  forecasts(streamId: string): Promise<Forecast[]>;
  probeFigures(): Promise<ProbeFigures[]>;
  /**
   * Does what a guard decided for a batch, once: moves the head, puts edits into quarantine, pauses; records it as an event, and
   * what is to be told to whom. The same again answers the same.
   */
  carryOutGuard(streamId: string, order: GuardOrder): Promise<GuardOutcome>;
  /**
   * Lets edits out of quarantine: `release` queues them again, `reject` ends them. All of the stream where none are named.
   * @throws UNKNOWN_EDIT, EDIT_NOT_QUARANTINED
   */
  settleQuarantine(
    streamId: string,
    what: 'release' | 'reject',
    options: { readonly editIds?: readonly string[] | undefined; readonly reason?: string | undefined },
  ): Promise<string[]>;
  getDelivery(id: string): Promise<WebhookDelivery>;
  /** Says how a delivery goes on. One that has ended is left alone. */
  updateDelivery(
    id: string,
    change: { readonly status: WebhookDelivery['status']; readonly attempts: number; readonly detail: string | null },
  ): Promise<void>;
}
