import type {
  Checkpoint,
  EditorConfig,
  HeadChange,
  Model,
  RepairReport,
  TakeSnapshotResponse,
  TaskQueue,
} from '@errata/contracts';
import type { Fleet, ModelRuntime, ShardWorker } from '@errata/rpc';
import type { Idempotency, Store } from '@errata/store';
import type { RequestHandler } from 'express';
import type { Registry } from 'prom-client';

/** The part of the store that the API reads and writes; everything else belongs to the workflows. */
export type GatewayStore = Pick<
  Store,
  | 'activeEdits'
  | 'addCanary'
  | 'addAdapter'
  | 'addCorpus'
  | 'batchDrift'
  | 'commonPosition'
  | 'createBranch'
  | 'cancelRevocation'
  | 'collectGarbage'
  | 'createEvaluation'
  | 'createRevocation'
  | 'createStream'
  | 'deleteAdapter'
  | 'deleteCorpus'
  | 'diffEdits'
  | 'editHistory'
  | 'createExport'
  | 'createPublication'
  | 'deleteExport'
  | 'endPublication'
  | 'enqueueEdits'
  | 'forecasts'
  | 'getAdapter'
  | 'getCheckpoint'
  | 'getCorpus'
  | 'getEdit'
  | 'getEvaluation'
  | 'getExport'
  | 'getGuards'
  | 'getModel'
  | 'getRevocation'
  | 'getPublication'
  | 'getStream'
  | 'hashAt'
  | 'listAdapters'
  | 'listAliases'
  | 'listBatches'
  | 'listBranches'
  | 'listCanaries'
  | 'listCheckpoints'
  | 'listCorpora'
  | 'listEdits'
  | 'listEvents'
  | 'listExports'
  | 'listModels'
  | 'listRevocations'
  | 'listRounds'
  | 'listSnapshots'
  | 'listPublications'
  | 'listStreams'
  | 'mergeStream'
  | 'ping'
  | 'previewRevocation'
  | 'registerModel'
  | 'removeCanary'
  | 'resolvePosition'
  | 'rollbackAnswered'
  | 'saveEvaluation'
  | 'setExpiry'
  | 'setGuards'
  | 'settleQuarantine'
  | 'updateExport'
  | 'verifyLog'
  | 'verifyStored'
>;

/**
 * What the API asks of a stream's workflow. Changes of the head go through it, so that they are serialised with
 * batches. All methods throw `ErrataError`: the workflow's own, or `NOT_READY` when Temporal cannot be reached.
 */
export interface WorkflowGateway {
  /** Tells the workflow of a stream that there is work, starting it where it does not run. */
  wake(streamId: string): Promise<void>;
  /** With an idempotency key, the same again moves nothing. */
  rollback(
    streamId: string,
    seq: number,
    idempotency: Idempotency | undefined,
    signal: AbortSignal,
  ): Promise<HeadChange>;
  checkpoint(streamId: string, name: string, signal: AbortSignal): Promise<Checkpoint>;
  pause(streamId: string, signal: AbortSignal): Promise<void>;
  resume(streamId: string, signal: AbortSignal): Promise<void>;
  /** Starts the measuring of an evaluation that the store already holds. */
  evaluate(streamId: string, evaluationId: string): Promise<void>;
  /** Keeps a snapshot of a position, and waits for it. */
  takeSnapshot(streamId: string, seq: number, signal: AbortSignal): Promise<TakeSnapshotResponse['snapshot']>;
  /** Puts back what damage of the log can be, and waits for it. */
  repair(streamId: string, signal: AbortSignal): Promise<RepairReport>;
  /** Starts the writing of an export that the store already holds. */
  startExport(exportId: string): Promise<void>;
  /** Asks an export to stop; its record says when it has. Answers whether anything runs that can. */
  cancelExport(exportId: string): Promise<boolean>;
  /** Starts a publication that the store already holds. */
  startPublication(publicationId: string): Promise<void>;
  /** Who takes the work of the workflows, and what waits. */
  taskQueues(): Promise<TaskQueue[]>;
  /** Whether Temporal answers. */
  ping(): Promise<void>;
}

/** The logging that the API does; a pino logger is one. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What the API asks of a shard worker. */
export type ShardReader = Pick<ShardWorker, 'address' | 'stats' | 'materialize' | 'verify' | 'distance'>;

/** Everything the application is made of. */
export interface GatewayDeps {
  readonly store: GatewayStore;
  readonly workflows: WorkflowGateway;
  readonly runtime: Pick<ModelRuntime, 'address' | 'info' | 'generateStream' | 'discardExport'>;
  /** Any worker can answer for any layer: each is a cache of the log. */
  readonly fleet: Fleet<ShardReader>;
  /** The editor configuration that suits a model; null when none was tuned for it. */
  readonly presetFor: (model: Model) => EditorConfig | null;
  /** Where finished exports lie; without it they cannot be downloaded. */
  readonly exportDir?: string | undefined;
  readonly log: Log;
  readonly registry: Registry;
  /** Measures requests; made once a process by `createHttpMetrics`. */
  readonly httpMetrics: RequestHandler;
  readonly version: string;
}
