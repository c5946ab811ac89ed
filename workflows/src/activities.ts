import type {
  BatchKind,
  Budget,
  Checkpoint,
  GuardAction,
  GuardReading,
  HeadChange,
  RepairReport,
  Revocation,
} from '@errata/contracts';

export type { RepairReport };

/** What a workflow needs to know of a claimed batch: numbers only, never text or tensors. */
export interface BatchPlan {
  readonly seq: number;
  readonly kind: BatchKind;
  readonly edits: number;
  /** Edited layers, ascending. */
  readonly layers: readonly number[];
  /** Seq of the revoke batch that is staged first and committed together with this one. */
  readonly supersedes: number | null;
  /** The revocation that the batch is part of. */
  readonly revocationId?: string | null;
}

/** What a stream is to do next. At most one of `batch` and `finishing` is there. */
export interface WorkPlan {
  readonly batch: BatchPlan | null;
  /** A revocation whose batches are all committed. */
  readonly finishing: { readonly revocationId: string; readonly verify: boolean } | null;
  /** When the next edit expires, an ISO time; null where none does. */
  readonly nextExpiry: string | null;
}

export interface StepSeconds {
  readonly targets: number;
  readonly keys: number;
  readonly update: number;
}

/** An Idempotency-Key with the hash of the request it came with. */
export interface Idempotency {
  readonly key: string;
  readonly bodyHash: string;
}

interface BatchRef {
  readonly streamId: string;
  readonly seq: number;
}

/** Every side effect of the workflows. Each is idempotent by its arguments, so that any of them may run again. */
export interface StreamActivities {
  /**
   * Binds the covariances that are there to the layers of a stream. For those that are not, a run of the workflow
   * `covariance` is started or joined; it tells the stream when it is done. Answers how many are missing.
   */
  requestCovariances(args: { streamId: string }): Promise<{ missing: number }>;
  /** Makes the inverse covariance of every edited layer. */
  prepareStream(args: { streamId: string }): Promise<void>;
  /** The stream cannot go on by itself; a person resumes it. */
  failStream(args: { streamId: string; detail: string }): Promise<void>;
  /** The next batch of a revocation or of the queue. @param args `at`: the workflow's time; `held`: paused or failed */
  nextWork(args: { streamId: string; at: string; held: boolean }): Promise<WorkPlan>;
  /** Ends a revocation well; recomputes every layer first where that was asked for. */
  finishRevocation(args: { streamId: string; revocationId: string; verify: boolean }): Promise<void>;
  /** Ends a revocation that cannot go on and gives its batch up. Answers what it came from. */
  failRevocation(args: {
    streamId: string;
    revocationId: string;
    code: string;
    message: string;
  }): Promise<{ cause: Revocation['cause'] }>;
  /** Of runs begun before there was `nextWork`. */
  claimBatch(args: { streamId: string }): Promise<BatchPlan | null>;
  /** Of runs begun before there was `nextWork`. */
  claimRevoke(args: { streamId: string; editIds: readonly string[]; reason: string | null }): Promise<BatchPlan>;
  /** Gives a batch up that cannot be finished: what it would have changed stays as it was. */
  releaseBatch(args: BatchRef): Promise<void>;
  /** Finds the targets of a batch; edits that need no write or cannot be written leave it. Answers how many are left. */
  resolveTargets(args: BatchRef): Promise<{ edits: number; seconds: number }>;
  applyLayer(args: BatchRef & { layer: number }): Promise<{ keysSeconds: number; updateSeconds: number }>;
  revokeLayer(args: BatchRef & { layer: number }): Promise<{ updateSeconds: number }>;
  commitBatch(args: BatchRef & { seconds: StepSeconds }): Promise<HeadChange>;
  verifyBatch(args: BatchRef): Promise<{ verified: number }>;
  /** Answers how long it took; runs begun before guards take no notice. */
  measureDrift(args: BatchRef): Promise<{ seconds: number } | undefined>;
  /**
   * Measures the edited model after a batch, as far as what measuring may cost goes. Answers the budgets that were measured now.
   * @param args `driftSeconds`: what `measureDrift` took
   */
  probeBatch(args: BatchRef & { driftSeconds: number }): Promise<{ readings: readonly GuardReading[] }>;
  /** The last position before a batch at which none of these budgets was exceeded. */
  findGood(args: BatchRef & { budgets: readonly Budget[] }): Promise<{ seq: number }>;
  /** Does what a guard decided. `delivery`: what is to be told to somebody. */
  carryOutGuard(
    args: BatchRef & {
      action: Exclude<GuardAction, 'off'>;
      trips: readonly GuardReading[];
      to: number | null;
      pause: boolean;
    },
  ): Promise<{ head: number; delivery: string | null }>;
  rollback(args: BatchRef & { idempotency?: Idempotency }): Promise<HeadChange>;
  createCheckpoint(args: { streamId: string; name: string }): Promise<Checkpoint>;
  setPaused(args: { streamId: string; paused: boolean }): Promise<void>;
  evaluate(args: { streamId: string; evaluationId: string }): Promise<void>;
  failEvaluation(args: { streamId: string; evaluationId: string; detail: string }): Promise<void>;
}

/** The side effects of the workflow `deliverWebhook`. */
export interface WebhookActivities {
  sendWebhook(args: { deliveryId: string }): Promise<void>;
  /** It cannot be delivered. */
  failWebhook(args: { deliveryId: string; detail: string }): Promise<void>;
}

/** What a covariance is made of: two streams that name the same share one run. */
export interface CovarianceArgs {
  readonly modelId: string;
  /** `default`, the id of a corpus, or `model:SEED`. */
  readonly source: string;
  readonly tokens: number;
}

/** A covariance cut into slices, as the model runtime plans it. */
export interface CovarianceRunPlan extends CovarianceArgs {
  /** Tokens of all slices: `tokens` of the arguments and what the last sequence has beyond. */
  readonly tokens: number;
  readonly askedTokens: number;
  /** Hash of what the slices read. */
  readonly corpusId: string;
  readonly slices: number;
  readonly dimension: number;
}

interface RunLayers {
  readonly run: CovarianceRunPlan;
  readonly layers: readonly number[];
}

/** The side effects of the workflow `covariance`, idempotent as well. */
export interface CovarianceActivities {
  planCovariance(args: CovarianceArgs): Promise<CovarianceRunPlan>;
  /**
   * Adds the next slice to the sums of the layers that lack it, and shows the streams how far the run is. Answers how many
   * slices every layer has now.
   */
  addCovarianceSlice(args: RunLayers & { streamIds: readonly string[] }): Promise<{ slices: number }>;
  /** Stores the covariances out of the sums, which are dropped. */
  finishCovariances(args: RunLayers): Promise<void>;
}

export interface SnapshotArgs {
  readonly streamId: string;
  /** A committed position; the snapshot is of the last fold at or below it. */
  readonly seq: number;
}

/** A snapshot that is there; null where the log is as fast. */
export type SnapshotTaken = {
  readonly id: string;
  readonly seq: number;
  readonly bytes: number;
  readonly created: boolean;
} | null;

/** The side effect of the workflow `snapshot`. */
export interface SnapshotActivities {
  takeSnapshot(args: SnapshotArgs): Promise<SnapshotTaken>;
}

/** The side effect of the workflow `repair`. */
export interface RepairActivities {
  repairLog(args: { streamId: string }): Promise<RepairReport>;
}
