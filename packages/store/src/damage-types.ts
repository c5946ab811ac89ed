import type { Damage } from '@errata/contracts';
import type { Matrix, StoredLogEntry } from './types.js';

/** Damage with what is needed to put it back: the id of the chunk or of the covariance, else ''. */
export interface FoundDamage extends Damage {
  readonly id: string;
}

export interface DamageStore {
  /** Holds targets, snapshots and covariances of a lineage against their hashes. @throws UNKNOWN_POSITION */
  verifyStored(streamId: string, seq: number): Promise<FoundDamage[]>;
  /** An entry as it is stored, whether its bytes match its hash or not. @throws UNKNOWN_POSITION */
  readEntryAsStored(streamId: string, seq: number, layer: number): Promise<StoredLogEntry>;
  /** Puts tensors back that give the recorded hash. @throws LOG_CORRUPT they give another */
  repairEntry(entry: StoredLogEntry): Promise<void>;
  /** The same for a covariance. */
  repairCovariance(id: string, moment: Matrix): Promise<void>;
  /** Forgets chunks and all snapshots that name them. @returns those snapshots' positions */
  discardChunks(ids: readonly string[]): Promise<{ streamId: string; seq: number }[]>;
  /** Writes down what was put back. */
  recordRepair(streamId: string, detail: Readonly<Record<string, number>>): Promise<void>;
}
