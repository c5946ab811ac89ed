/** What a snapshot holds: W − W₀ of every edited layer, or the state of one shard. */
export type SnapshotKind = 'weights' | 'shard';

export interface SnapshotKey {
  /** Of a branch, in what is found: the stream that holds the batch. */
  readonly streamId: string;
  /** A committed position. */
  readonly seq: number;
  readonly kind: SnapshotKind;
  /** What the bits depend on beyond the log, such as the engine and the order of operations. */
  readonly form: string;
}

export interface SnapshotInfo extends SnapshotKey {
  readonly id: string;
  /** Of the log at the position. */
  readonly hash: string;
  readonly bytes: number;
  readonly createdAt: string;
}

/** A dense tensor of a snapshot; how rows and columns lie is its writer's and reader's business. */
export interface SnapshotTensor {
  /** Lower-case letters, digits, - and /; unique in its snapshot. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array | Float64Array;
}

/** What replaying the log up to a position would take, from the nearest snapshot below it. */
export interface ReplayCost {
  /** The position of that snapshot; 0 where there is none. */
  readonly from: number;
  readonly entries: number;
  /** Of keys, G and B. */
  readonly bytes: number;
}

export interface SnapshotStore {
  /**
   * Keeps dense tensors of a position, in checksummed chunks of which equal ones are stored once. It is there whole or not
   * at all; one of the same key that is there already stays. @throws UNKNOWN_POSITION, POSITION_COLLECTED, INVALID_TENSOR
   */
  saveSnapshot(
    key: SnapshotKey,
    tensors: AsyncIterable<SnapshotTensor> | Iterable<SnapshotTensor>,
  ): Promise<{ snapshot: SnapshotInfo; created: boolean }>;
  /** Snapshots of a form at any of the given positions of a lineage, the latest first. */
  findSnapshots(key: Omit<SnapshotKey, 'seq'>, seqs: readonly number[]): Promise<SnapshotInfo[]>;
  /** Of a stream, by position. */
  listSnapshots(streamId: string): Promise<SnapshotInfo[]>;
  /** A tensor, every chunk held against its hash. @throws LOG_CORRUPT, UNKNOWN_POSITION no such snapshot or tensor */
  readSnapshotTensor(snapshotId: string, name: string): Promise<SnapshotTensor>;
  /**
   * Tensors in the order of their names, each whole and checked as above before it is used; the next one comes in meanwhile.
   * @throws as `readSnapshotTensor` does, when those before were used
   */
  readSnapshotTensors(
    snapshotId: string,
    names: readonly string[],
    use: (tensor: SnapshotTensor) => Promise<void>,
  ): Promise<void>;
  /** Forgets a snapshot; its chunks go with the next collection. */
  dropSnapshot(snapshotId: string): Promise<void>;
  /** Looks back from a position to the nearest snapshot of a kind, whatever its form. @throws UNKNOWN_POSITION */
  replayCost(streamId: string, seq: number, kind: SnapshotKind): Promise<ReplayCost>;
}
