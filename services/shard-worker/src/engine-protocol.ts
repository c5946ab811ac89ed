import type {
  ColumnPosition,
  Columns,
  Columns64,
  RowRange,
  Segment,
  Sign,
  SignedFactors,
  StateSnapshot,
  StateStats,
  UpdateStats,
  Verification,
} from '@errata/rls';
import type { Precision, Share } from '@errata/tensor';

/** What computes, as `createMatrixEngine` takes it. */
export type EngineChoice = 'auto' | 'native' | 'webgpu' | 'wasm';

export interface EngineDescription {
  readonly name: string;
  readonly description: string;
  /** Why the native engine was not used where it was wanted; null otherwise. */
  readonly fallbackReason: string | null;
}

/** What defines an inverse covariance, and how it is to be made and kept. */
export interface InverseInput {
  /** A number not in use. */
  readonly inverse: number;
  readonly lambda: number;
  readonly mu: number;
  readonly covarianceWeight: number;
  /** Its id, by which the thread asks for the moment again where a share of C has to be made anew. */
  readonly covariance: string;
  /** Second moment of the inputs, d × d. */
  readonly moment: Float32Array;
  readonly dimension: number;
  readonly precision: 'auto' | Precision;
  readonly policy: 'refuse' | 'raise-lambda';
  readonly share: Share;
  /** Folder for out-of-core inversion; in memory when null. */
  readonly scratch: string | null;
}

export interface InverseReport {
  readonly lambda: number;
  readonly requestedLambda: number;
  readonly condition: number;
  readonly precision: Precision;
  readonly bytes: number;
}

/** Where an inversion may put its panels. */
export interface InversionRoom {
  /** Bytes left in memory. */
  readonly memoryBytes: number;
  /** Folder for what does not fit; null for none. */
  readonly scratch: string | null;
}

/** A state, and how many of its first segments are the ones meant: those after them are dropped first. */
export interface StateInput {
  readonly state: number;
  readonly segments: number;
  /** Any job on a state may have to derive C again. */
  readonly room: InversionRoom;
}

export interface StateReport {
  readonly bytes: number;
  readonly rank: number;
  readonly deviation: number;
}

/** Factors of an update as they are to be recorded, in fp32. */
export interface UpdateOutput {
  readonly sign: Sign;
  readonly keys: Columns;
  readonly g: Columns;
  readonly b: Columns;
  readonly rDiagonal: readonly number[];
  readonly stats: UpdateStats;
  readonly seconds: number;
}

/** Rows of a matrix, column-major. */
export interface RowsOutput {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** What the engine thread does, one job at a time. Throws RlsError and TensorError; the signal's reason when aborted. */
export interface EngineJobs {
  describe(input: null, signal: AbortSignal): EngineDescription;
  openInverse(input: InverseInput, signal: AbortSignal): Promise<InverseReport>;
  closeInverse(input: { readonly inverse: number }, signal: AbortSignal): void;
  /** @param input outputs: dₒ; rows: those of the share; batch: most columns of a batch */
  openState(
    input: {
      readonly state: number;
      readonly inverse: number;
      readonly outputs: number;
      readonly rows: RowRange;
      readonly batch: number;
    },
    signal: AbortSignal,
  ): Promise<StateReport>;
  closeState(input: { readonly state: number }, signal: AbortSignal): void;
  append(
    input: StateInput & { readonly batches: readonly Segment[] },
    signal: AbortSignal,
  ): Promise<StateReport & { readonly seconds: number }>;
  /** The state as it was after its last fold; null where there was none, or it lies elsewhere than a replay has it. */
  snapshot(input: StateInput, signal: AbortSignal): Promise<StateSnapshot | null>;
  /** Brings a state without batches to a snapshot. @param input batches: those of the snapshot */
  restore(
    input: StateInput & { readonly snapshot: StateSnapshot; readonly batches: readonly Segment[] },
    signal: AbortSignal,
  ): Promise<StateReport>;
  /** This share's part of C K, and V − W K of recorded columns on its rows. */
  product(
    input: StateInput & { readonly keys: Columns64 | readonly ColumnPosition[] },
    signal: AbortSignal,
  ): Promise<{ readonly product: Columns64; readonly residual: Columns64 | null }>;
  apply(
    input: StateInput & {
      readonly keys: Columns;
      readonly residual: Columns;
      readonly weights: readonly number[] | null;
      /** C K of all shares; computed where null. */
      readonly product: Columns64 | null;
    },
    signal: AbortSignal,
  ): Promise<UpdateOutput>;
  /** An adapter as an update; its keys follow from G. */
  import(
    input: StateInput & { readonly g: Columns; readonly b: Columns; readonly own: boolean },
    signal: AbortSignal,
  ): Promise<UpdateOutput>;
  revoke(
    input: StateInput & {
      readonly positions: readonly ColumnPosition[];
      /** C K and V − W K of all shares; computed where null. */
      readonly given: { readonly product: Columns64; readonly residual: Columns64 } | null;
    },
    signal: AbortSignal,
  ): Promise<UpdateOutput>;
  stats(input: StateInput, signal: AbortSignal): Promise<StateStats & StateReport>;
  verify(input: StateInput, signal: AbortSignal): Promise<Verification>;
  refresh(input: StateInput, signal: AbortSignal): Promise<StateReport & { readonly found: number }>;
  fold(input: StateInput, signal: AbortSignal): Promise<StateReport>;
  /** Norm of a difference of weights; no state is touched. */
  distance(input: { readonly factors: readonly SignedFactors[] }, signal: AbortSignal): Promise<number>;
  /** W − W₀ on the rows of the share. */
  delta(input: StateInput, signal: AbortSignal): Promise<RowsOutput>;
}

export type JobName = keyof EngineJobs;
export type JobInput<Name extends JobName> = Parameters<EngineJobs[Name]>[0];
export type JobOutput<Name extends JobName> = Awaited<ReturnType<EngineJobs[Name]>>;

/** An error on its way between threads: structured cloning would lose its class. */
export interface WireError {
  readonly kind: 'rls' | 'tensor' | 'errata' | 'other';
  readonly code: string;
  readonly message: string;
  readonly stack: string | undefined;
}

/** Main thread to engine thread. */
export type ToEngine =
  | { readonly kind: 'job'; readonly id: number; readonly name: JobName; readonly input: unknown }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'moment'; readonly ask: number; readonly moment: Float32Array }
  | { readonly kind: 'noMoment'; readonly ask: number; readonly error: WireError };

/** Engine thread to main thread. */
export type FromEngine =
  | { readonly kind: 'done'; readonly id: number; readonly output: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: WireError }
  /** Asks for the second moment of a covariance. */
  | { readonly kind: 'ask'; readonly ask: number; readonly covariance: string };
