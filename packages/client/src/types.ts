import type {
  Adapter,
  AliasRecord,
  Batch,
  ChatCompletion,
  ChatCompletionChunk,
  Checkpoint,
  CollectGarbageResponse,
  Completion,
  Corpus,
  CreateBranchRequest,
  CreateExportRequest,
  CreatePublicationRequest,
  CreateStreamRequest,
  chatCompletionRequestSchema,
  completionRequestSchema,
  Diff,
  driftResponseSchema,
  Edit,
  EditHistory,
  EditSelection,
  EditStatus,
  Evaluation,
  Export,
  editInputSchema,
  HeadChange,
  ListEditsResponse,
  MergeResponse,
  Model,
  mergeRequestSchema,
  PositionRequest,
  Publication,
  Revocation,
  RevocationPreview,
  revokeRequestSchema,
  Snapshot,
  Stream,
  StreamEvent,
  SubmitEditsResponse,
  TakeSnapshotResponse,
  TaskQueue,
  VerifyLogResponse,
} from '@errata/contracts';
import type { DriftClient } from './drift-types.js';
import type { CallOptions } from './transport.js';

/** An edit as a caller writes it: fields with defaults may be left out. */
export type EditDraft = (typeof editInputSchema)['_input'];
/** A text to continue, and how; `stream` is the method's to say. */
export type CompletionRequest = Omit<(typeof completionRequestSchema)['_input'], 'stream'>;
/** A conversation to answer in, and how. */
export type ChatRequest = Omit<(typeof chatCompletionRequestSchema)['_input'], 'stream'>;
/** What is merged, and how; fields with defaults may be left out. */
export type MergeDraft = (typeof mergeRequestSchema)['_input'];
export type DriftResponse = (typeof driftResponseSchema)['_output'];

/** Which edits to take out, and how; whether to wait is the method's to say. */
export type RevokeDraft = Omit<(typeof revokeRequestSchema)['_input'], 'wait'>;

/** The files of a LoRA adapter, as PEFT writes them. */
export interface AdapterUpload {
  /** Name or id of the model that it changes. */
  readonly model: string;
  readonly name?: string | undefined;
  /** adapter_config.json */
  readonly config: Uint8Array<ArrayBuffer>;
  /** adapter_model.safetensors */
  readonly weights: Uint8Array<ArrayBuffer>;
  /** manifest.json, where it is an export of this system. */
  readonly manifest?: Uint8Array<ArrayBuffer> | undefined;
}

export interface KeyedOptions extends CallOptions {
  /** Made up when left out, so that the client's own retries are safe; give one to repeat over a restart too. */
  readonly idempotencyKey?: string | undefined;
}

export interface WaitOptions extends CallOptions {
  /** Pause between two looks, in milliseconds. */
  readonly pollMs?: number;
}

export interface RevocationWait extends WaitOptions {
  readonly onProgress?: (revocation: Revocation) => void;
}

export interface EditProgress {
  readonly settled: number;
  readonly total: number;
  readonly stream: Stream;
}

/**
 * The HTTP API. `stream` is the id or the name of a stream. All methods throw `ErrataError`, with the details of
 * problem+json; requests that may be repeated are, with growing pauses, while the failure is a passing one.
 */
export interface ErrataClient extends DriftClient {
  readonly baseUrl: string;
  /** The task queue of each capability: which orchestrators poll it, and what waits. */
  listTaskQueues(options?: CallOptions): Promise<TaskQueue[]>;
  listModels(options?: CallOptions): Promise<Model[]>;
  createStream(request: CreateStreamRequest, options?: KeyedOptions): Promise<Stream>;
  listStreams(options?: CallOptions): Promise<Stream[]>;
  getStream(stream: string, options?: CallOptions): Promise<Stream>;

  /** All or nothing. */
  submitEdits(stream: string, edits: readonly EditDraft[], options?: KeyedOptions): Promise<SubmitEditsResponse>;
  /** One edit a line; the error of a faulty line names it. */
  submitNdjson(
    stream: string,
    ndjson: string | Uint8Array<ArrayBuffer>,
    options?: KeyedOptions,
  ): Promise<SubmitEditsResponse>;
  listEdits(
    stream: string,
    options?: CallOptions & { status?: EditStatus; after?: number; limit?: number },
  ): Promise<ListEditsResponse>;
  /** Every edit, page by page. */
  allEdits(stream: string, options?: CallOptions & { status?: EditStatus; after?: number }): AsyncGenerator<Edit>;
  getEdit(stream: string, editId: string, options?: CallOptions): Promise<Edit>;
  /**
   * Waits until edits are settled: verified (or measured and found not to hold), rejected, superseded, revoked or quarantined. A
   * guard may take a verified one back a moment later.
   * @throws NOT_READY when the stream failed or is paused
   */
  waitForEdits(
    stream: string,
    edits: SubmitEditsResponse['edits'],
    options?: WaitOptions & { onProgress?: (progress: EditProgress) => void },
  ): Promise<Edit[]>;
  /** What became of an edit, step by step. */
  getEditHistory(stream: string, editId: string, options?: CallOptions): Promise<EditHistory>;
  /** When an edit is taken out again: a time in the future, or null for never. */
  setExpiry(stream: string, editId: string, expiresAt: Date | string | null, options?: CallOptions): Promise<Edit>;

  /**
   * Takes edits out and waits for the end: those with the ids, or those that a request selects. Giving up the wait leaves
   * the revocation going on. @throws the error that it ended with, EDIT_NOT_REVOCABLE say; CANCELLED when somebody ended it
   */
  revoke(
    stream: string,
    what: readonly string[] | RevokeDraft,
    reason?: string,
    options?: KeyedOptions & RevocationWait,
  ): Promise<Revocation>;
  /** Asks for a revocation and does not wait. */
  startRevocation(stream: string, request: RevokeDraft, options?: KeyedOptions): Promise<Revocation>;
  /** What a revocation would take out now. */
  previewRevocation(stream: string, selection: EditSelection, options?: CallOptions): Promise<RevocationPreview>;
  /** The newest hundred. */
  listRevocations(stream: string, options?: CallOptions): Promise<Revocation[]>;
  getRevocation(stream: string, revocationId: string, options?: CallOptions): Promise<Revocation>;
  /** Ends a revocation after the batch under way; what is committed stays. @throws REVOCATION_ENDED */
  cancelRevocation(stream: string, revocationId: string, options?: CallOptions): Promise<Revocation>;

  /** Uploads a LoRA adapter that a stream can begin with: the files of a PEFT folder, and the manifest of an export. */
  addAdapter(upload: AdapterUpload, options?: CallOptions): Promise<Adapter>;
  listAdapters(options?: CallOptions): Promise<Adapter[]>;
  getAdapter(id: string, options?: CallOptions): Promise<Adapter>;
  /** @throws ADAPTER_IN_USE */
  deleteAdapter(id: string, options?: CallOptions): Promise<void>;
  /** Uploads a text for covariances; the same text again is the same corpus. */
  addCorpus(name: string, text: string | Uint8Array<ArrayBuffer>, options?: CallOptions): Promise<Corpus>;
  listCorpora(options?: CallOptions): Promise<Corpus[]>;
  /** @throws CORPUS_IN_USE */
  deleteCorpus(id: string, options?: CallOptions): Promise<void>;

  createCheckpoint(stream: string, name: string, options?: CallOptions): Promise<Checkpoint>;
  listCheckpoints(stream: string, options?: CallOptions): Promise<Checkpoint[]>;
  rollback(stream: string, to: PositionRequest, options?: KeyedOptions): Promise<HeadChange>;
  /** A new stream that goes on from a position of another, the head when none is named. Nothing is copied. */
  createBranch(stream: string, branch: CreateBranchRequest, options?: KeyedOptions): Promise<Stream>;
  listBranches(stream: string, options?: CallOptions): Promise<Stream[]>;
  /** How the head of a stream, or `seq`, differs from the head of another, or `withSeq`. */
  diff(stream: string, options?: CallOptions & { with?: string; seq?: number; withSeq?: number }): Promise<Diff>;
  /** Queues the edits of another stream here again. @throws MERGE_CONFLICT with what conflicts as its details */
  merge(stream: string, request: MergeDraft, options?: CallOptions): Promise<MergeResponse>;
  /** Keeps the weights of a position (the head when left out). @returns null where the log is as fast */
  takeSnapshot(
    stream: string,
    at?: { checkpoint: string } | { seq: number },
    options?: CallOptions,
  ): Promise<TakeSnapshotResponse['snapshot']>;
  listSnapshots(stream: string, options?: CallOptions): Promise<Snapshot[]>;
  /** Removes what no head, checkpoint or branch has reached for so many days (30 when left out). */
  collectGarbage(options?: CallOptions & { keepDays?: number; dryRun?: boolean }): Promise<CollectGarbageResponse>;
  pause(stream: string, options?: CallOptions): Promise<Stream>;
  resume(stream: string, options?: CallOptions): Promise<Stream>;

  listBatches(stream: string, options?: CallOptions): Promise<Batch[]>;
  listEvents(stream: string, options?: CallOptions): Promise<StreamEvent[]>;
  getDrift(stream: string, options?: CallOptions): Promise<DriftResponse>;
  startEvaluation(stream: string, options?: CallOptions): Promise<Evaluation>;
  getEvaluation(stream: string, evaluationId: string, options?: CallOptions): Promise<Evaluation>;
  /** Starts an evaluation and waits for its end. @throws INTERNAL with its detail when it failed */
  evaluate(stream: string, options?: WaitOptions): Promise<Evaluation>;
  /** Starts the writing of an edited model as files. */
  createExport(stream: string, request: CreateExportRequest, options?: CallOptions): Promise<Export>;
  listExports(stream: string, options?: CallOptions): Promise<Export[]>;
  getExport(stream: string, id: string, options?: CallOptions): Promise<Export>;
  /** Cancels an export, or removes the files of a finished one. */
  deleteExport(stream: string, id: string, options?: CallOptions): Promise<Export>;
  /** Waits until an export is done. @throws EXPORT_UNSUPPORTED or INTERNAL with its detail when it failed, CANCELLED */
  waitForExport(started: Export, options?: WaitOptions & { onProgress?: (now: Export) => void }): Promise<Export>;
  /** A file of a finished export, as it comes. */
  downloadExportFile(
    stream: string,
    id: string,
    file: string,
    options?: CallOptions,
  ): AsyncGenerator<Uint8Array, void, undefined>;

  /** Brings a position to a server as a LoRA adapter. */
  publish(stream: string, request: CreatePublicationRequest, options?: CallOptions): Promise<Publication>;
  listPublications(stream: string, options?: CallOptions): Promise<Publication[]>;
  getPublication(stream: string, id: string, options?: CallOptions): Promise<Publication>;
  /** Waits until a publication has ended, well or not. */
  waitForPublication(
    started: Publication,
    options?: WaitOptions & { onProgress?: (now: Publication) => void },
  ): Promise<Publication>;
  listAliases(options?: CallOptions): Promise<AliasRecord[]>;
  /** Continues a text. Greedy unless a temperature is given. */
  complete(stream: string, request: CompletionRequest, options?: CallOptions): Promise<Completion>;
  /** The same as it grows. Leaving the loop ends the generation. */
  streamCompletion(
    stream: string,
    request: CompletionRequest,
    options?: CallOptions,
  ): AsyncGenerator<Completion, void, undefined>;
  /** Answers in a conversation. */
  chat(stream: string, request: ChatRequest, options?: CallOptions): Promise<ChatCompletion>;
  streamChat(
    stream: string,
    request: ChatRequest,
    options?: CallOptions,
  ): AsyncGenerator<ChatCompletionChunk, void, undefined>;
  verify(stream: string, options?: CallOptions & { deep?: boolean; repair?: boolean }): Promise<VerifyLogResponse>;

  health(options?: CallOptions): Promise<void>;
  /** @throws NOT_READY naming the parts that do not answer */
  ready(options?: CallOptions): Promise<void>;
  /** Metrics in the text format of Prometheus. */
  metrics(options?: CallOptions): Promise<string>;
  /** The OpenAPI document of the server. */
  openapi(options?: CallOptions): Promise<Record<string, unknown>>;
}
