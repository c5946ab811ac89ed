export interface GarbageOptions {
  /** How long what no lineage reaches is kept, for a roll forward. */
  readonly keepMs: number;
  /** Only says what would be removed. */
  readonly dryRun?: boolean;
  /** One stream; all of them and the chunks when left out. */
  readonly streamId?: string;
  /** How long a chunk that no snapshot names is kept for one that is being written; an hour when left out. */
  readonly graceMs?: number;
  readonly signal?: AbortSignal;
}

/** What a collection removed, or would remove. */
export interface GarbageReport {
  /** Off every lineage for longer than the retention, and batches that were given up. */
  readonly batches: number;
  /** Log entries of those batches, and the bytes of their tensors. */
  readonly entries: number;
  readonly entryBytes: number;
  /** Of those batches, and others along the way to a head that the rest makes up for. */
  readonly snapshots: number;
  /** Chunks that no snapshot names, and their bytes as stored. */
  readonly chunks: number;
  readonly chunkBytes: number;
  /** Notifications of guards that had ended. */
  readonly deliveries: number;
}

export interface GarbageStore {
  /**
   * Removes what no head, checkpoint, branch or claimed batch reaches and none did within the retention: log entries,
   * targets and snapshots of such batches, snapshots that save too little, chunks that no snapshot names, and notifications that ended before. In short transactions, each with its event:
   * begun again after an interruption it goes on with what is left.
   */
  collectGarbage(options: GarbageOptions): Promise<GarbageReport>;
}
