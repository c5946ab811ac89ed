import { ErrataError } from '@errata/contracts';
import type { Segment } from '@errata/rls';
import type { StateRef } from '@errata/rpc';
import type { Matrix, Store, StoredLogEntry } from '@errata/store';
import type { Share } from '@errata/tensor';
import type { EngineClient } from './engine-client.js';
import type { InverseReport, InversionRoom, StateInput, StateReport } from './engine-protocol.js';
import { Mutex } from './mutex.js';

/** Most entries read from the log at once: lets a cancelled request stop between reads. */
const READ_AT_ONCE = 64;
/** Bytes of entries read at once, as far as whole entries allow: bounds what lies in memory besides the states. */
const READ_BYTES = 64 << 20;

/** How far a shard had to go to reach a state. */
export interface CatchUp {
  readonly dropped: number;
  readonly read: number;
}

export function asColumns({ rows, columns, data }: Matrix) {
  return { length: rows, count: columns, data };
}

function asSegment(entry: StoredLogEntry): Segment {
  return {
    seq: entry.seq,
    sign: entry.sign,
    // Of an imported adapter they follow from G.
    ...(entry.keys.columns > 0 && { keys: asColumns(entry.keys) }),
    b: asColumns(entry.b),
    g: asColumns(entry.g),
    rDiagonal: entry.rDiagonal,
  };
}

/** What a shard is, and where its state lies. */
export interface ShardParts {
  readonly streamId: string;
  readonly layer: number;
  readonly share: Share;
  /** d and dₒ. */
  readonly inputs: number;
  readonly outputs: number;
  /** Most columns that a batch of the stream has. */
  readonly batchSize: number;
  readonly inverse: InverseReport;
  /** Number of the state in the engine thread. */
  readonly state: number;
  readonly engine: EngineClient;
  readonly store: Pick<Store, 'lineage' | 'readEntries'>;
  /** What an inversion may take now. */
  room(): InversionRoom;
}

/** One share of one layer of one stream: a state in the engine thread, and which batches of the log are in it. */
export class Shard {
  readonly mutex = new Mutex();
  readonly parts: ShardParts;
  /** Batches in the state, in order. An entry of the log never changes, so equal seqs mean an equal state. */
  #applied: number[] = [];
  /** A lineage already learnt: seqs from the root. Where a batch hangs in the tree never changes either. */
  #lineage: readonly number[] = [];
  #report: StateReport;

  constructor(parts: ShardParts, report: StateReport) {
    this.parts = parts;
    this.#report = report;
  }

  get report(): StateReport {
    return this.#report;
  }

  /** Names the state as it is now in a job. */
  get input(): StateInput {
    const { state, room } = this.parts;
    return { state, segments: this.#applied.length, room: room() };
  }

  /** Takes note of what a job found of the state. */
  noted<Report extends StateReport>(report: Report): Report {
    this.#report = { bytes: report.bytes, rank: report.rank, deviation: report.deviation };
    return report;
  }

  /**
   * Brings the state to the one a request names: drops the batches that are not in it, reads those that are missing.
   * @throws ErrataError UNKNOWN_POSITION, SEQUENCE_GAP, LOG_CORRUPT and the store's; RlsError LOG_MISMATCH; TensorError
   * OUT_OF_MEMORY where an inversion finds no room: called again it goes on where it stopped
   */
  async catchUp(target: StateRef, signal: AbortSignal): Promise<CatchUp> {
    const { layer, inputs, outputs, batchSize, engine } = this.parts;
    const committed = await this.#lineageOf(target.seq);
    const staged = target.staged.filter((batch) => batch.layers.includes(layer)).map((batch) => batch.seq);
    const wanted = [...committed, ...staged];
    let common = 0;
    while (common < wanted.length && this.#applied[common] === wanted[common]) common++;
    const dropped = this.#applied.length - common;
    this.#applied.length = common;
    const entryBytes = 4 * batchSize * (2 * inputs + outputs);
    const atOnce = Math.max(1, Math.min(READ_AT_ONCE, Math.floor(READ_BYTES / entryBytes)));
    for (let at = common; at < wanted.length; at += atOnce) {
      signal.throwIfAborted();
      const seqs = wanted.slice(at, at + atOnce);
      const batches = (await this.#read(seqs)).map(asSegment);
      this.noted(await engine.run('append', { ...this.input, batches }, { signal, transfer: true }));
      this.#applied.push(...seqs);
    }
    return { dropped, read: wanted.length - common };
  }

  async #read(seqs: readonly number[]): Promise<StoredLogEntry[]> {
    const { streamId, layer, store } = this.parts;
    const missing = (which: string, cause?: unknown) =>
      new ErrataError(
        'SEQUENCE_GAP',
        `the log of ${streamId} lacks layer ${layer} of ${which}: ask for a state whose batches are staged or committed`,
        { cause },
      );
    let entries: StoredLogEntry[];
    try {
      entries = await store.readEntries(streamId, layer, seqs);
    } catch (error) {
      if (error instanceof ErrataError && error.code === 'UNKNOWN_POSITION')
        throw missing(`one of the batches ${seqs.join(', ')} (${error.message})`, error);
      throw error;
    }
    if (entries.length < seqs.length) throw missing(`batch ${seqs[entries.length]}`);
    entries.forEach((entry, i) => {
      if (entry.seq !== seqs[i])
        throw new ErrataError('LOG_CORRUPT', `the log returned seq ${entry.seq} where ${seqs[i]} was asked for`);
    });
    return entries;
  }

  async #lineageOf(seq: number): Promise<readonly number[]> {
    if (seq === 0) return [];
    const at = this.#lineage.indexOf(seq);
    if (at >= 0) return this.#lineage.slice(0, at + 1);
    const known = this.#lineage.at(-1);
    const { seqs, forked } = await this.parts.store.lineage(this.parts.streamId, seq, known);
    this.#lineage = forked || known === undefined ? seqs : [...this.#lineage, ...seqs];
    return this.#lineage;
  }
}
