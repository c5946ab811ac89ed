import type {
  AliasRecord,
  Baseline,
  Batch,
  BatchKind,
  BatchSeconds,
  Checkpoint,
  Corpus,
  Edit,
  EditHistory,
  EditInput,
  EditorConfig,
  EditSelection,
  EditStatus,
  Evaluation,
  Export,
  LayerDrift,
  LayerPreparation,
  Model,
  Publication,
  PublicationStep,
  Revocation,
  RevocationPreview,
  Stream,
  StreamEvent,
  StreamPosition,
  StreamStatus,
} from '@errata/contracts';
import type { AdapterStore } from './adapter-types.js';
import type { DamageStore, FoundDamage } from './damage-types.js';
import type { DriftStore } from './drift-types.js';
import type { GarbageStore } from './garbage-types.js';
import type { MergeOptions, MergePlan } from './merge-plan.js';
import type { SnapshotStore } from './snapshot-types.js';

export type { MergeOptions, MergePlan } from './merge-plan.js';

/** Column-major little-endian fp32 matrix, as in errata.v1.Tensor. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** A record of the log: what one batch did to one layer of a stream. Symbols as in docs/architecture.md, section 2. */
export interface LogEntry {
  readonly streamId: string;
  readonly seq: number;
  readonly layer: number;
  /** +1 adds the columns, −1 takes recorded columns back out: C = C₀ − G Σ Gᵀ, W = W₀ + B Gᵀ. */
  readonly sign: 1 | -1;
  /** d_in × u; d_in × 0 for an imported adapter, whose keys follow from G. */
  readonly keys: Matrix;
  /** d_in × u */
  readonly g: Matrix;
  /** d_out × u */
  readonly b: Matrix;
  /**
   * Diagonal of R (fp64). The rest of R, and with it the residual E = B Rᵀ, follows from K and G: the strict lower part of
   * R is that of KᵀG (of −KᵀG where sign is −1).
   */
  readonly rDiagonal: readonly number[];
  readonly stats: Readonly<Record<string, number>>;
  readonly configHash: string;
}

export interface StoredLogEntry extends LogEntry {
  readonly previousHash: string;
  readonly hash: string;
}

/** The state of the weights a caller means; mirrors errata.v1.StateRef. */
export interface StateRef {
  readonly streamId: string;
  readonly seq: number;
  readonly staged: readonly { readonly seq: number; readonly layers: readonly number[] }[];
}

/** A batch that has been claimed and not yet committed. Claiming again yields the same one. */
export interface ClaimedBatch {
  readonly seq: number;
  /**
   * The head when it was claimed: the committed position that a StateRef for this batch starts from. In the tree, the
   * parent of a batch with `supersedes` is that revoke batch.
   */
  readonly parentSeq: number;
  readonly kind: BatchKind;
  /** Edits in column order (apply). For revoke: the edits taken out. */
  readonly edits: readonly Edit[];
  /** For revoke: the columns of earlier batches, in the order of `edits`. */
  readonly columns: readonly { readonly seq: number; readonly column: number }[];
  /** For apply: a revoke batch that must be staged first and is committed together with this one (superseded edits). */
  readonly supersedes: ClaimedBatch | null;
  /** The revocation that this batch is part of; its apply batches write later edits again. */
  readonly revocationId: string | null;
  readonly createdAt: string;
}

/** What a stream is to do next. At most one of `batch` and `finishing` is there. */
export interface Work {
  /** A batch that is claimed: to be carried to its commit. */
  readonly batch: ClaimedBatch | null;
  /** A revocation whose batches are all committed: verify it if asked, then say so with `finishRevocation`. */
  readonly finishing: { readonly revocationId: string; readonly verify: boolean } | null;
  /** When the next edit expires, an ISO time; null where none does. */
  readonly nextExpiry: string | null;
}

/** A revocation as it is asked for. */
export interface NewRevocation {
  readonly selection: EditSelection;
  readonly reason: string | null;
  readonly retarget: boolean;
  readonly verify: boolean;
}

export interface NewStream {
  readonly name: string;
  readonly modelId: string;
  readonly config: EditorConfig;
  /** Id of the adapter that its log begins with. */
  readonly adapter?: string | undefined;
}

/** A new stream that goes on from a position of another. */
export interface NewBranch {
  readonly name: string;
  readonly seq: number;
}

/**
 * A position by what it is known by. `at` (ISO 8601): where the head was at that time, after rollbacks too; of a branch at
 * a time before it was made, the last position of its history committed by then. `beforeEdit`: what the batch of an edit
 * on the head's lineage was committed on.
 */
export type PositionTarget =
  | { readonly seq: number }
  | { readonly checkpoint: string }
  | { readonly at: string }
  | { readonly beforeEdit: string };

/** A position of a stream. */
export interface PositionRef {
  readonly streamId: string;
  readonly seq: number;
}

/** Edits in the weights at the second of two positions against those at the first. */
export interface EditDiff {
  readonly added: readonly Edit[];
  readonly removed: readonly Edit[];
  /** The same subject and prompt, another target or importance. */
  readonly changed: readonly { readonly from: Edit; readonly to: Edit }[];
  readonly kept: number;
}

/** What a merge did or would do. */
export interface Merge extends MergePlan {
  readonly from: StreamPosition;
  readonly to: StreamPosition;
  readonly common: StreamPosition | null;
  /** The new edits; none in a dry run. */
  readonly queued: readonly Edit[];
}

export interface NewExport extends Pick<Export, 'streamId' | 'seq' | 'format' | 'dtype' | 'maxRank'> {
  /** The id where it is left out. */
  readonly destination?: string | undefined;
}

export type ExportChange = Partial<Pick<Export, 'status' | 'detail' | 'bytesDone' | 'bytesTotal' | 'manifest'>>;

export interface NewPublication
  extends Pick<Publication, 'streamId' | 'seq' | 'target' | 'alias' | 'samples' | 'tolerance'>,
    Pick<Export, 'dtype' | 'maxRank'> {}

export interface CovarianceInfo {
  readonly id: string;
  readonly modelId: string;
  readonly layer: number;
  /** Hash of what was read. */
  readonly corpusId: string;
  /** What was asked for: `default`, the id of a corpus, `model:SEED`. */
  readonly source: string;
  readonly tokens: number;
  readonly dimension: number;
}

/** A covariance that is computed slice by slice; what is added up depends on all of these. */
export interface CovarianceRun extends Omit<CovarianceInfo, 'id' | 'layer'> {
  /** Of all layers alike. */
  readonly slices: number;
}

/** The mean of x xᵀ over the tokens of one slice. */
export interface CovarianceSlice {
  /** From 0. */
  readonly index: number;
  readonly tokens: number;
  /** Lower triangle by rows. */
  readonly mean: Float32Array;
}

/** What verification or resolution found out about an edit. */
export interface EditOutcome {
  readonly editId: string;
  readonly status?: EditStatus;
  readonly reason?: string | null;
  readonly answer?: string;
  readonly baseline?: Baseline;
}

/** What monitoring shows of a stream. */
export interface StreamFigures {
  readonly streamId: string;
  readonly name: string;
  readonly status: StreamStatus;
  readonly head: number;
  /** Edits that wait, and edits whose targets are found but that are not written yet. */
  readonly queued: number;
  readonly resolved: number;
  /** Age of the edit that has waited longest; 0 when none waits. */
  readonly oldestQueuedSeconds: number;
  /** As measured after the newest batch up to the head that was measured. */
  readonly drift: readonly LayerDrift[];
}

/** What monitoring shows of an evaluation. */
export type EvaluationFigures = Pick<
  Evaluation,
  'rewriteAfter' | 'paraphraseAfter' | 'neighboursKept' | 'perplexityBefore' | 'perplexityAfter'
>;

/** A position of the lineage: the batches from the root to a seq, in order. */
export type Lineage = readonly number[];

/**
 * Everything that lasts. All methods throw `ErrataError`; a lost connection is `NOT_READY` (retryable).
 * The history of a stream is a tree of batches: `seq` numbers are never reused, each batch names its parent, the head
 * is a pointer. Rollback moves the head; nothing is deleted. A branch has its origin's history up to where it left; all
 * reads of a stream go through to there.
 */
export interface Store extends SnapshotStore, GarbageStore, DamageStore, DriftStore, AdapterStore {
  // models
  registerModel(model: Model): Promise<void>;
  listModels(): Promise<Model[]>;
  /** @throws UNKNOWN_MODEL */
  getModel(idOrName: string): Promise<Model>;

  // streams
  /** @throws UNKNOWN_MODEL, UNKNOWN_CORPUS, UNKNOWN_ADAPTER, ADAPTER_REFUSED, NAME_TAKEN. With an idempotency key, the same key and body yield the same stream. */
  createStream(stream: NewStream, idempotency?: Idempotency): Promise<Stream>;
  /** By id or by name. @throws UNKNOWN_STREAM */
  getStream(idOrName: string): Promise<Stream>;
  /** All streams, or the branches that left one directly. */
  listStreams(originId?: string): Promise<Stream[]>;
  setStreamStatus(streamId: string, status: StreamStatus, detail?: string | null): Promise<void>;
  /** Says how far the preparation of streams is; those that are not `preparing` any more are left alone. */
  reportPreparation(streamIds: readonly string[], detail: string): Promise<void>;
  /**
   * Makes a stream `ready` and records what its preparation found of each layer, once: the same again writes no second
   * event.
   */
  finishPreparation(streamId: string, layers: readonly LayerPreparation[]): Promise<void>;
  /** Streams with queued edits, a claimed batch, a revocation that has not ended or expired edits: what the sweep wakes. */
  listStreamsWithWork(): Promise<string[]>;

  // edits
  /**
   * Stores edits as queued, in order, in one transaction. An edit with the same normalised (subject, prompt),
   * target and importance as the latest live or queued one is stored `rejected` with the reason naming the other. A repeated
   * idempotency key answers what was answered first, whatever became of the edits since.
   * @throws UNKNOWN_STREAM, IDEMPOTENCY_CONFLICT, INVALID_REQUEST text with U+0000 or half a surrogate pair
   */
  enqueueEdits(
    streamId: string,
    edits: readonly EditInput[],
    idempotency?: Idempotency,
  ): Promise<{ edits: Edit[]; replayed: boolean }>;
  listEdits(
    streamId: string,
    options?: { status?: EditStatus; after?: number; limit?: number },
  ): Promise<{ edits: Edit[]; next: number | null }>;
  /** @throws UNKNOWN_EDIT */
  getEdit(streamId: string, editId: string): Promise<Edit>;
  /** All edits whose columns are in the weights at a position (head when left out), by ordinal. */
  activeEdits(streamId: string, seq?: number): Promise<Edit[]>;
  /**
   * Records what was found out. Status: `resolved` and `rejected` of edits not yet written, `applied` and `verified` of
   * written ones; one that does not fit (an edit rolled back meanwhile) is left out, the rest of the outcome kept.
   * Text that a model made is stored with U+FFFD for what Postgres cannot keep.
   * @throws UNKNOWN_EDIT none that was sent to this stream, INVALID_REQUEST a status that only a batch gives, `rejected` for an edit in a claimed batch
   */
  updateEdits(streamId: string, outcomes: readonly EditOutcome[]): Promise<void>;

  // batches
  /**
   * Claims up to `limit` queued edits as the next batch, or returns the batch already claimed. Among queued edits with
   * the same normalised (subject, prompt) only the last is kept, the earlier end `superseded`; one that replaces an
   * applied edit brings a revoke batch with it; one whose target is in the weights already, with the same importance, ends
   * `rejected`. A claimed
   * revoke (see claimRevoke) is returned too: look at `kind`. Null when there is nothing to do.
   */
  claimBatch(streamId: string, limit: number): Promise<ClaimedBatch | null>;
  /** Claims the revocation of applied edits. Claiming the same edits again while uncommitted yields the same batch. @throws UNKNOWN_EDIT, EDIT_NOT_REVOCABLE, NOT_READY another batch is under way */
  claimRevoke(streamId: string, editIds: readonly string[], reason: string | null): Promise<ClaimedBatch>;
  /**
   * What to do next: a batch under way goes on, then revocations in the order they were asked for, batch by batch, then
   * edits that have expired (queued ones end `rejected`), then queued edits as `claimBatch` takes them.
   * @param options `at`: the time that counts for expiry, ISO; `held`: the stream is paused or has failed, so that only
   * revocations that were asked for go on, and a batch that was left behind is given up for them
   */
  nextWork(
    streamId: string,
    options: { readonly limit: number; readonly at: string; readonly held: boolean },
  ): Promise<Work>;
  /** The batch with this seq as claimed, less what was dropped; also after its commit. @throws UNKNOWN_POSITION none, or given up */
  getClaimedBatch(streamId: string, seq: number): Promise<ClaimedBatch>;
  /**
   * Takes edits out of a claimed apply batch before any layer of it is staged, with their columns of saved targets. They
   * end `rejected` (the default) or `verified` (nothing to write). The revoke batch it brings along stays as it is: the
   * replaced edits are out of date all the same. @throws UNKNOWN_POSITION, LOG_CONFLICT a layer is staged
   */
  dropFromBatch(streamId: string, seq: number, outcomes: readonly EditOutcome[]): Promise<void>;
  /**
   * Gives a claimed batch up: its edits are queued again (apply) or stay as they are (revoke), what was staged is never
   * read again. A batch that is not claimed is left alone.
   */
  releaseBatch(streamId: string, seq: number): Promise<void>;
  /** Hidden states z found for a batch, hidden_size × edits, and marks its edits resolved. Idempotent: the first write stays. */
  saveTargets(streamId: string, seq: number, targets: Matrix): Promise<void>;
  readTargets(streamId: string, seq: number): Promise<Matrix | null>;

  // the log
  /**
   * Writes one entry of a claimed batch. The same bytes again are a no-op.
   * @throws LOG_CONFLICT other bytes at (stream, seq, layer); STALE_EPOCH; UNKNOWN_POSITION no such claimed batch
   */
  stageEntry(entry: LogEntry, epoch: number): Promise<StoredLogEntry>;
  /** Layers already staged for a batch, ascending. */
  stagedLayers(streamId: string, seq: number): Promise<number[]>;
  /**
   * Makes a batch (and the revoke batch it supersedes with) visible: checks that every layer is there, moves the head,
   * sets the edits' states. Idempotent. An apply batch whose edits were all dropped is closed; the head then moves to the
   * revoke batch it brought along, or not at all.
   * @throws SEQUENCE_GAP a layer is missing or the head is not the parent
   */
  commitBatch(streamId: string, seq: number, seconds: BatchSeconds): Promise<{ head: number; hash: string }>;
  /** Drift figures measured after a batch. */
  saveBatchDrift(streamId: string, seq: number, drift: readonly LayerDrift[]): Promise<void>;
  listBatches(streamId: string): Promise<Batch[]>;
  /**
   * Seqs from the root to `seq`, ascending. With `knownUpTo`, only those above it are returned when `seq` descends
   * from it (`forked: false`); otherwise the whole lineage (`forked: true`). @throws UNKNOWN_POSITION
   */
  lineage(streamId: string, seq: number, knownUpTo?: number): Promise<{ seqs: Lineage; forked: boolean }>;
  /** Entries of one layer at the given seqs, in that order; staged ones included. Hashes are checked. @throws LOG_CORRUPT, UNKNOWN_POSITION */
  readEntries(streamId: string, layer: number, seqs: readonly number[]): Promise<StoredLogEntry[]>;
  /** Hash of the log at a position ('' hash of the root is the stream's genesis hash). @throws UNKNOWN_POSITION */
  hashAt(streamId: string, seq: number): Promise<string>;
  /** Walks the lineage of a position and recomputes every hash. `damage` names the tensors that do not match. */
  verifyLog(
    streamId: string,
    seq: number,
  ): Promise<{ hash: string; entries: number; problems: string[]; damage: FoundDamage[] }>;

  // revocations: sets of edits taken out in several batches, see `nextWork`
  /**
   * Stores what is to be taken out; the edits are chosen when it begins. The same idempotency key and body again answer
   * the same one. @throws UNKNOWN_STREAM, IDEMPOTENCY_CONFLICT
   */
  createRevocation(
    streamId: string,
    revocation: NewRevocation,
    idempotency?: Idempotency,
  ): Promise<{ revocation: Revocation; replayed: boolean }>;
  /** What a revocation would do now. @throws UNKNOWN_STREAM, UNKNOWN_EDIT, EDIT_NOT_REVOCABLE */
  previewRevocation(streamId: string, selection: EditSelection): Promise<RevocationPreview>;
  /** @throws UNKNOWN_REVOCATION */
  getRevocation(streamId: string, revocationId: string): Promise<Revocation>;
  /** The newest first, at most a hundred. */
  listRevocations(streamId: string): Promise<Revocation[]>;
  /** Ends one between two of its batches. Idempotent. @throws UNKNOWN_REVOCATION, REVOCATION_ENDED */
  cancelRevocation(streamId: string, revocationId: string): Promise<Revocation>;
  /** Ends one whose batches are committed. Idempotent. @param deviation what verification found, or null */
  finishRevocation(streamId: string, revocationId: string, deviation: Revocation['deviation']): Promise<void>;
  /** Ends one that cannot go on, and gives its batch up; what it committed stays. Idempotent. */
  failRevocation(
    streamId: string,
    revocationId: string,
    failure: NonNullable<Revocation['failure']>,
  ): Promise<Revocation>;
  /**
   * Changes when an edit expires, or that it does, in its stream and the branches that have it.
   * @returns the streams that have to look again when their next edit expires
   * @throws UNKNOWN_EDIT, INVALID_REQUEST not in the future, or inherited; EDIT_NOT_REVOCABLE it was rejected
   */
  setExpiry(
    streamId: string,
    editId: string,
    expiresAt: string | null,
  ): Promise<{ edit: Edit; streams: readonly string[] }>;
  /** What became of an edit, step by step. @throws UNKNOWN_EDIT */
  editHistory(streamId: string, editId: string): Promise<EditHistory>;

  // time travel
  /** @throws UNKNOWN_STREAM, UNKNOWN_POSITION, UNKNOWN_CHECKPOINT, UNKNOWN_EDIT, EDIT_NOT_ON_LINEAGE, INVALID_REQUEST no time */
  resolvePosition(streamId: string, target: PositionTarget): Promise<{ seq: number; hash: string }>;
  /**
   * Makes a stream whose history up to a position is another's, with its configuration and covariances. Nothing is
   * copied: the branch reads the rows of its origin, and derives what became of their edits from its own lineage. What
   * either does afterwards does not show in the other.
   * @throws UNKNOWN_STREAM, UNKNOWN_POSITION, NAME_TAKEN. With an idempotency key, the same key and body yield the same branch.
   */
  createBranch(streamId: string, branch: NewBranch, idempotency?: Idempotency): Promise<Stream>;
  /** The last position that both build on, named as the first's; null for streams without a common history. @throws UNKNOWN_STREAM, UNKNOWN_POSITION */
  commonPosition(from: PositionRef, to: PositionRef): Promise<StreamPosition | null>;
  /** How the edits in the weights at two positions differ. @throws UNKNOWN_STREAM, UNKNOWN_POSITION */
  diffEdits(from: PositionRef, to: PositionRef): Promise<EditDiff>;
  /**
   * Queues the edits of another stream here again, each with the name of its source, in the order of their columns. What is
   * here already is left out: a repeated merge adds nothing. Answers what was done or, with `dryRun`, what would be; the
   * revocations are the caller's to make.
   * @throws MERGE_CONFLICT unless a strategy is given, INVALID_REQUEST other models, UNKNOWN_STREAM
   */
  mergeStream(streamId: string, fromId: string, options: MergeOptions & { dryRun: boolean }): Promise<Merge>;
  /** Branches that left a stream directly, oldest first. @throws UNKNOWN_STREAM */
  listBranches(streamId: string): Promise<Stream[]>;
  /** Idempotent for the same name and position. @throws NAME_TAKEN */
  createCheckpoint(streamId: string, name: string): Promise<Checkpoint>;
  listCheckpoints(streamId: string): Promise<Checkpoint[]>;
  /** @throws UNKNOWN_CHECKPOINT */
  getCheckpoint(streamId: string, name: string): Promise<Checkpoint>;
  /**
   * Moves the head to an earlier position of any lineage of the stream. Edits outside that lineage become `revoked`
   * with a reason, edits revoked on the dropped part come back as applied; a revocation that has begun is cancelled. With
   * an idempotency key, the same again moves nothing and answers the same.
   * @throws UNKNOWN_POSITION, POSITION_COLLECTED, IDEMPOTENCY_CONFLICT
   */
  rollback(streamId: string, seq: number, idempotency?: Idempotency): Promise<Moved>;
  /** What a rollback with this idempotency key answered, or null. @throws IDEMPOTENCY_CONFLICT */
  rollbackAnswered(streamId: string, idempotency: Idempotency): Promise<Moved | null>;
  listEvents(streamId: string): Promise<StreamEvent[]>;

  // covariance: d_in × d_in second moments, content-addressed by model, layer, corpus and tokens
  saveCovariance(info: Omit<CovarianceInfo, 'id'>, moment: Matrix): Promise<CovarianceInfo>;
  /** The newest for this model, layer and source with at least that many tokens, or null. */
  findCovariance(modelId: string, layer: number, source: string, tokens: number): Promise<CovarianceInfo | null>;
  /** How many slices of a run each layer has: all of them when its covariance is stored. */
  covarianceSlices(run: CovarianceRun, layers: readonly number[]): Promise<Map<number, number>>;
  /**
   * Adds the next slice of a layer to its partial sum (fp64), exactly once: one that is in it, or a covariance that is
   * stored, is left as it is. @throws SEQUENCE_GAP an earlier slice is missing, INVALID_TENSOR
   */
  addCovarianceSlice(run: CovarianceRun, layer: number, slice: CovarianceSlice): Promise<void>;
  /** Stores the mean of all slices as the covariance of a layer and drops the partial sum. Idempotent. @throws SEQUENCE_GAP */
  finishCovariance(run: CovarianceRun, layer: number): Promise<CovarianceInfo>;
  readCovariance(id: string): Promise<Matrix>;
  /** Fixes which covariance a stream's layer uses; the first call wins. */
  bindCovariance(streamId: string, layer: number, covarianceId: string): Promise<void>;
  boundCovariance(streamId: string, layer: number): Promise<CovarianceInfo | null>;

  // corpora: texts that covariances are taken over, content-addressed
  /** Keeps a text; the same text again is the same corpus. @throws INVALID_REQUEST it is blank or holds U+0000 */
  addCorpus(name: string, text: string): Promise<Corpus>;
  listCorpora(): Promise<Corpus[]>;
  /** @throws UNKNOWN_CORPUS */
  getCorpus(id: string): Promise<Corpus>;
  /** The text of a corpus. @throws UNKNOWN_CORPUS, LOG_CORRUPT */
  readCorpus(id: string): Promise<string>;
  /** Forgets a text; covariances taken over it stay. @throws UNKNOWN_CORPUS, CORPUS_IN_USE */
  deleteCorpus(id: string): Promise<void>;

  // shards
  /** Makes `owner` the owner of a layer's shard; the epoch grows when the owner changes. */
  acquireShard(streamId: string, layer: number, owner: string): Promise<{ epoch: number }>;

  // exports
  /** Stores an export as queued. Its folder is its own until it fails or is deleted. @throws EXPORT_EXISTS, UNKNOWN_POSITION, UNKNOWN_STREAM */
  createExport(request: NewExport): Promise<Export>;
  /** @throws UNKNOWN_EXPORT, also where it is another stream's */
  getExport(id: string, streamId?: string): Promise<Export>;
  listExports(streamId: string): Promise<Export[]>;
  /** Says how an export goes on. One that has ended is left alone. */
  updateExport(id: string, change: ExportChange): Promise<void>;
  /** Marks an export whose folder goes away. @throws UNKNOWN_EXPORT, EXPORT_IN_USE an alias serves it */
  deleteExport(id: string): Promise<void>;

  // publications
  /** Stores a publication with the export it begins with. @throws EXPORT_EXISTS, UNKNOWN_POSITION */
  createPublication(request: NewPublication): Promise<Publication>;
  /** @throws UNKNOWN_PUBLICATION */
  getPublication(id: string, streamId?: string): Promise<Publication>;
  listPublications(streamId: string): Promise<Publication[]>;
  /** Records a step once: the same step again keeps the first. */
  recordStep(id: string, step: PublicationStep['step'], detail: PublicationStep['detail']): Promise<void>;
  /** Ends a publication. One that has ended is left alone. */
  endPublication(id: string, status: Exclude<Publication['status'], 'running'>, detail: string | null): Promise<void>;
  listAliases(): Promise<AliasRecord[]>;
  /** What an alias means on a server, null where nothing yet. */
  getAlias(target: string, alias: string): Promise<AliasRecord | null>;
  /**
   * Points an alias at a publication where its version still is `version` (0: there is none yet). Where it points there
   * already, nothing happens. @throws ALIAS_MOVED
   */
  swapAlias(target: string, alias: string, publicationId: string, version: number): Promise<AliasRecord>;

  // evaluations
  createEvaluation(streamId: string, seq: number): Promise<Evaluation>;
  saveEvaluation(evaluation: Evaluation): Promise<void>;
  /** @throws UNKNOWN_EVALUATION */
  getEvaluation(streamId: string, evaluationId: string): Promise<Evaluation>;

  // figures for monitoring
  /** Of every stream, the newest first. */
  streamFigures(): Promise<StreamFigures[]>;
  /** The id of the newest finished evaluation, by stream id. */
  newestEvaluations(): Promise<Map<string, string>>;
  /** By id of the evaluation. */
  evaluationFigures(evaluationIds: readonly string[]): Promise<Map<string, EvaluationFigures>>;
  /** Bytes on disk, indexes included. */
  storageBytes(): Promise<{ log: number; database: number }>;

  /** Whether the database answers and its schema is current. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Where a rollback left the head, and the edits whose status it changed. */
export interface Moved {
  readonly head: number;
  readonly hash: string;
  readonly editIds: string[];
}

/** An HTTP Idempotency-Key with the hash of the request it came with. */
export interface Idempotency {
  readonly key: string;
  readonly bodyHash: string;
}
