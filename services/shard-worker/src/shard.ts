import { ErrataError } from '@errata/contracts';
import { type FactoredState, RlsError, type Segment } from '@errata/rls';
import type { StateRef } from '@errata/rpc';
import type { Matrix, Store, StoredLogEntry } from '@errata/store';
import { Mutex } from './mutex.js';

/** Entries read from the log at once: bounds memory, and lets a cancelled request stop between reads. */
const READ_AT_ONCE = 64;

/** How far a shard had to go to reach a state. */
export interface CatchUp {
  readonly dropped: number;
  readonly read: number;
}

export function asColumns(matrix: Matrix) {
  return { length: matrix.rows, count: matrix.columns, data: matrix.data };
}

function asSegment(entry: StoredLogEntry): Segment {
  return {
    seq: entry.seq,
    sign: entry.sign,
    keys: asColumns(entry.keys),
    b: asColumns(entry.b),
    g: asColumns(entry.g),
  };
}

/** One layer of one stream: a state, and which batches of the log are in it. */
export class Shard {
  readonly mutex = new Mutex();
  /** Batches in the state, in order. An entry of the log never changes, so equal seqs mean an equal state. */
  #applied: number[] = [];
  /** A lineage already learnt: seqs from the root. Where a batch hangs in the tree never changes either. */
  #lineage: readonly number[] = [];

  constructor(
    readonly streamId: string,
    readonly layer: number,
    readonly state: FactoredState,
    private readonly store: Pick<Store, 'lineage' | 'readEntries'>,
  ) {}

  /**
   * Brings the state to the one a request names: drops the batches that are not in it, reads those that are missing.
   * @throws ErrataError UNKNOWN_POSITION, LOG_CORRUPT and the store's; RlsError LOG_MISMATCH
   */
  async catchUp(target: StateRef, signal: AbortSignal): Promise<CatchUp> {
    // An append that failed half-way leaves its batch in the state; the list of applied ones decides.
    if (this.state.segments.length > this.#applied.length) this.state.truncate(this.#applied.length);
    const committed = await this.#lineageOf(target.seq);
    const staged = target.staged.filter((batch) => batch.layers.includes(this.layer)).map((batch) => batch.seq);
    const wanted = [...committed, ...staged];
    let common = 0;
    while (common < wanted.length && this.#applied[common] === wanted[common]) common++;
    const dropped = this.#applied.length - common;
    if (dropped > 0) {
      this.state.truncate(common);
      this.#applied.length = common;
    }
    for (let at = common; at < wanted.length; at += READ_AT_ONCE) {
      signal.throwIfAborted();
      const seqs = wanted.slice(at, at + READ_AT_ONCE);
      const entries = await this.store.readEntries(this.streamId, this.layer, seqs);
      entries.forEach((entry, i) => {
        if (entry.seq !== seqs[i])
          throw new ErrataError('LOG_CORRUPT', `the log returned seq ${entry.seq} where ${seqs[i]} was asked for`);
        this.state.append(asSegment(entry));
        this.#applied.push(entry.seq);
      });
      if (entries.length !== seqs.length)
        throw new RlsError(
          'LOG_MISMATCH',
          `the log has ${entries.length} of ${seqs.length} entries from seq ${seqs[0]}`,
        );
    }
    return { dropped, read: wanted.length - common };
  }

  async #lineageOf(seq: number): Promise<readonly number[]> {
    if (seq === 0) return [];
    const at = this.#lineage.indexOf(seq);
    if (at >= 0) return this.#lineage.slice(0, at + 1);
    const known = this.#lineage.at(-1);
    const { seqs, forked } = await this.store.lineage(this.streamId, seq, known);
    this.#lineage = forked || known === undefined ? seqs : [...this.#lineage, ...seqs];
    return this.#lineage;
  }
}
