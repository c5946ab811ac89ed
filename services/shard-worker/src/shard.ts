import { ErrataError } from '@errata/contracts';
import { RlsError, type Segment } from '@errata/rls';
import type { StateRef } from '@errata/rpc';
import type { Matrix, Store, StoredLogEntry } from '@errata/store';
import type { Share } from '@errata/tensor';
import type { EngineClient } from './engine-client.js';
import type { InverseReport, InversionRoom, StateInput, StateReport } from './engine-protocol.js';
import { Mutex } from './mutex.js';
import type { ShardPlace, ShardSnapshots } from './shard-snapshots.js';

/** Most entries read from the log at once: lets a cancelled request stop between reads. */
const READ_AT_ONCE = 64;
/** Bytes of entries read at once, as far as whole entries allow: bounds what lies in memory besides the states. */
const READ_BYTES = 64 << 20;

/** Batches that are read sooner than snapshots are asked for. */
const FEW_BATCHES = 8;

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
  /** Null where none are kept. */
  readonly snapshots: ShardSnapshots | null;
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
  #unkeptSeconds = 0;

  constructor(parts: ShardParts, report: StateReport) {
    this.parts = parts;
    this.#report = report;
  }

  get report(): StateReport {
    return this.#report;
  }

  /** What replaying the batches since the last snapshot took here: those who need them again would take as long. */
  get unkeptSeconds(): number {
    return this.#unkeptSeconds;
  }

  /** Takes note of time that a replay would take as well. */
  spent(seconds: number): void {
    this.#unkeptSeconds += seconds;
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
    const { layer, engine } = this.parts;
    const committed = await this.#lineageOf(target.seq);
    const staged = target.staged.filter((batch) => batch.layers.includes(layer)).map((batch) => batch.seq);
    const wanted = [...committed, ...staged];
    const restored = this.#applied.length === 0 ? await this.#restore(committed, signal) : 0;
    let common = 0;
    while (common < wanted.length && this.#applied[common] === wanted[common]) common++;
    const dropped = this.#applied.length - common;
    this.#applied.length = common;
    for await (const { seqs, batches } of this.#batches(wanted.slice(common), signal)) {
      const appended = await engine.run('append', { ...this.input, batches }, { signal, transfer: true });
      this.noted(appended);
      this.spent(appended.seconds);
      this.#applied.push(...seqs);
    }
    return { dropped, read: wanted.length - common + restored };
  }

  /**
   * Keeps the state as it was at its last fold. It is copied while nothing else happens to the shard, and written beside.
   * @throws ErrataError as the store does; as a job does
   */
  async keep(signal: AbortSignal): Promise<void> {
    const { engine, snapshots } = this.parts;
    const taken = await this.mutex.run(signal, async () => {
      this.#unkeptSeconds = 0;
      const snapshot = await engine.run('snapshot', this.input, { signal });
      return snapshot && { snapshot, seq: this.#applied[snapshot.segments - 1] };
    });
    if (taken !== null) await snapshots?.save(this.#place, taken.seq, taken.snapshot);
  }

  get #place(): ShardPlace {
    const { streamId, layer, share, inverse } = this.parts;
    return { streamId, layer, share, precision: inverse.precision };
  }

  /** Goes to the latest snapshot of a lineage that is whole. @returns entries read */
  async #restore(lineage: readonly number[], signal: AbortSignal): Promise<number> {
    const { engine, snapshots } = this.parts;
    if (snapshots === null || lineage.length <= FEW_BATCHES) return 0;
    let read = 0;
    for (const found of await snapshots.find(this.#place, lineage)) {
      signal.throwIfAborted();
      const snapshot = await snapshots.read(found, this.#place);
      if (snapshot === null) continue;
      const seqs = lineage.slice(0, lineage.indexOf(found.seq) + 1);
      const batches: Segment[] = [];
      for await (const part of this.#batches(seqs, signal)) batches.push(...part.batches);
      read += batches.length;
      try {
        this.noted(await engine.run('restore', { ...this.input, snapshot, batches }, { signal, transfer: true }));
      } catch (error) {
        if (!(error instanceof RlsError)) throw error;
        snapshots.damaged();
        continue;
      }
      this.#applied = seqs;
      this.#unkeptSeconds = 0;
      snapshots.restored();
      break;
    }
    return read;
  }

  /** Batches of the log, as many at once as fit. */
  async *#batches(seqs: readonly number[], signal: AbortSignal) {
    const { inputs, outputs, batchSize } = this.parts;
    const entryBytes = 4 * batchSize * (2 * inputs + outputs);
    const atOnce = Math.max(1, Math.min(READ_AT_ONCE, Math.floor(READ_BYTES / entryBytes)));
    for (let at = 0; at < seqs.length; at += atOnce) {
      signal.throwIfAborted();
      const part = seqs.slice(at, at + atOnce);
      yield { seqs: part, batches: (await this.#read(part)).map(asSegment) };
    }
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
