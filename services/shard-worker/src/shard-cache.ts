import { ErrataError } from '@errata/contracts';
import type { StateRef } from '@errata/rpc';
import type { Store } from '@errata/store';
import { type Share, TensorError } from '@errata/tensor';
import type { EngineClient } from './engine-client.js';
import { asErrataError } from './errors.js';
import { InverseCache } from './inverse-cache.js';
import { refreshNeed } from './memory.js';
import type { ShardMetrics } from './metrics.js';
import { Shard } from './shard.js';
import type { ShardSnapshots } from './shard-snapshots.js';
import { SharedWork } from './shared-work.js';
import { rowsOf } from './shares.js';

/** What the worker needs of the store. */
export type ShardStore = Pick<
  Store,
  'getStream' | 'getModel' | 'lineage' | 'readEntries' | 'boundCovariance' | 'readCovariance'
>;

/** A share of a layer at a state. */
export interface ShardTarget {
  readonly state: StateRef;
  readonly layer: number;
  readonly share: Share;
}

interface Held {
  readonly shard: Shard;
  releaseInverse(): void;
  /** Requests that run or wait on it. */
  users: number;
}

export interface ShardCacheParts {
  readonly engine: EngineClient;
  readonly store: ShardStore;
  readonly metrics: ShardMetrics;
  /** Bytes to stay below as far as idle shards can be dropped; one that alone needs more is refused. */
  readonly memoryBytes: number;
  /** Folder for inversions that do not fit into memory; null for none. */
  readonly scratch: string | null;
  /** Null for none. */
  readonly snapshots: ShardSnapshots | null;
  /** Seconds of replay at which one is kept; 0 for never. */
  readonly snapshotAfterSeconds: number;
}

/** Shards as a cache of the log: opened when first asked for, dropped least recently used first. */
export class ShardCache {
  /** In order of use, the oldest first. */
  readonly #held = new Map<string, Held>();
  readonly #opening = new Map<string, SharedWork<void>>();
  readonly #inverses: InverseCache;
  #worstDeviation = 0;
  #lastState = 0;
  #keeping: Promise<void> | null = null;
  readonly #stopped = new AbortController();

  constructor(private readonly parts: ShardCacheParts) {
    const { engine, store, metrics, scratch, memoryBytes } = parts;
    this.#inverses = new InverseCache({
      engine,
      store,
      metrics,
      scratch,
      reserve: (bytes, what) => {
        this.#checkFits(bytes, what);
        this.#shrink(memoryBytes - bytes);
      },
      fits: (bytes) => bytes <= memoryBytes,
    });
  }

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    let sum = this.#inverses.bytes;
    for (const { shard } of this.#held.values()) sum += shard.report.bytes;
    return sum;
  }

  /** Runs work on a layer at a state, alone on its shard. @throws ErrataError */
  async at<Result>(
    { state, layer, share }: ShardTarget,
    signal: AbortSignal,
    work: (shard: Shard) => Promise<Result>,
  ): Promise<Result> {
    const { metrics, memoryBytes } = this.parts;
    const key = `${state.streamId}/${layer}/${share.index}/${share.count}`;
    const subject = `layer ${layer} of ${state.streamId}`;
    let held: Held | undefined;
    try {
      held = await this.#hold(key, state.streamId, layer, share, signal);
      const { shard } = held;
      const waited = metrics.waitSeconds.startTimer();
      return await shard.mutex.run(signal, async () => {
        waited();
        const caughtUp = metrics.catchUpSeconds.startTimer();
        const { read } = await this.inverting(shard, () => shard.catchUp(state, signal));
        caughtUp();
        metrics.entriesRead.inc(read);
        this.#checkFits(shard.parts.inverse.bytes + shard.report.bytes, 'it');
        signal.throwIfAborted();
        return work(shard);
      });
    } catch (error) {
      throw asErrataError(error, subject);
    } finally {
      if (held !== undefined) {
        this.#keep(held);
        held.users--;
      }
      this.#shrink(memoryBytes);
    }
  }

  /** Ends when no snapshot is being written any more; one that waits for its shard is given up. */
  async stop(): Promise<void> {
    this.#stopped.abort(new ErrataError('NOT_READY', 'the shard worker is shutting down'));
    await this.#keeping;
  }

  /** Keeps a snapshot when the replay since the last one took too long; one at a time. It only saves time: failing it may. */
  #keep(held: Held): void {
    const { snapshots, snapshotAfterSeconds, memoryBytes, metrics } = this.parts;
    const { shard } = held;
    if (snapshots === null || this.#keeping !== null || snapshotAfterSeconds === 0) return;
    if (shard.unkeptSeconds < snapshotAfterSeconds || this.bytes + shard.report.bytes > memoryBytes) return;
    held.users++;
    this.#keeping = shard
      .keep(this.#stopped.signal)
      .catch(() => metrics.snapshots.inc({ outcome: 'failed' }))
      .finally(() => {
        held.users--;
        this.#keeping = null;
        this.#shrink(memoryBytes);
      });
  }

  /**
   * Does what may need an inversion for a shard: where there is no room for it, once more when idle shards have given way.
   * @param work leaves the state as it was when it finds no room
   */
  async inverting<Result>({ parts }: Shard, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof TensorError) || error.code !== 'OUT_OF_MEMORY') throw error;
      const before = this.bytes;
      this.#shrink(this.parts.memoryBytes - refreshNeed(parts.inputs, parts.share));
      if (this.bytes === before) throw error;
      return work();
    }
  }

  /** Forgets all shards and inverses: the thread they were in is gone, and the log brings them back. */
  clear(): void {
    this.#held.clear();
    this.#opening.clear();
    this.#inverses.clear();
  }

  /** The open shard, with its count of users raised before anything else can run: a shard in use is never dropped. */
  async #hold(key: string, streamId: string, layer: number, share: Share, signal: AbortSignal): Promise<Held> {
    for (;;) {
      const present = this.#held.get(key);
      if (present !== undefined) {
        present.users++;
        this.#held.delete(key);
        this.#held.set(key, present);
        return present;
      }
      let opening = this.#opening.get(key);
      if (opening === undefined || opening.abandoned) {
        const mine: SharedWork<void> = new SharedWork(async (stop) => {
          try {
            const held = await this.#open(streamId, layer, share, stop);
            if (this.#opening.get(key) === mine) this.#held.set(key, held);
            else this.#drop(held);
          } finally {
            if (this.#opening.get(key) === mine) this.#opening.delete(key);
            this.#report();
          }
        });
        opening = mine;
        this.#opening.set(key, mine);
      }
      await opening.join(signal);
    }
  }

  async #open(streamId: string, layer: number, share: Share, signal: AbortSignal): Promise<Held> {
    const { store, engine } = this.parts;
    const { config, modelId } = await store.getStream(streamId);
    if (!config.layers.includes(layer))
      throw new ErrataError(
        'INVALID_REQUEST',
        `layer ${layer} is not edited by ${streamId}; its layers are ${config.layers.join(', ')}`,
      );
    const [model, covariance] = await Promise.all([store.getModel(modelId), store.boundCovariance(streamId, layer)]);
    if (covariance === null)
      throw new ErrataError(
        'NOT_READY',
        `layer ${layer} of ${streamId} has no covariance yet: prepare the stream first`,
      );
    const outputs = model.hiddenSize;
    if (share.count > outputs)
      throw new ErrataError('INVALID_REQUEST', `${outputs} output rows cannot be split into ${share.count} shares`);
    const { inverse, report, release } = await this.#inverses.acquire(config, covariance, share, signal);
    try {
      const state = ++this.#lastState;
      const rows = rowsOf(outputs, share);
      const { batchSize } = config;
      const opened = await engine.run('openState', { state, inverse, outputs, rows, batch: batchSize }, { signal });
      const inputs = covariance.dimension;
      const { memoryBytes, scratch, snapshots } = this.parts;
      const moment = refreshNeed(inputs, share) - refreshNeed(inputs, { index: 0, count: 1 });
      const room = () => ({ memoryBytes: Math.max(0, memoryBytes - this.bytes - moment), scratch });
      const shard = new Shard(
        { streamId, layer, share, inputs, outputs, batchSize, inverse: report, state, engine, store, snapshots, room },
        opened,
      );
      return { shard, releaseInverse: release, users: 0 };
    } catch (error) {
      release();
      throw error;
    }
  }

  #drop({ shard, releaseInverse }: Held): void {
    // Fails only when the thread ends, and the state with it.
    this.parts.engine.run('closeState', { state: shard.parts.state }).catch(() => undefined);
    releaseInverse();
  }

  #checkFits(bytes: number, what: string): void {
    const { memoryBytes, scratch } = this.parts;
    if (bytes > memoryBytes)
      throw new ErrataError(
        'OUT_OF_MEMORY',
        `${what} needs ${bytes} bytes and SHARD_MEMORY_BYTES is ${memoryBytes}: spread the layer over more row shards or raise the limit${scratch === null ? '; SHARD_SCRATCH_DIR lets inversions use the disk' : ''}`,
      );
  }

  #shrink(limit: number): void {
    while (this.bytes > limit) {
      const idle = [...this.#held].find(([, { users }]) => users === 0);
      if (idle !== undefined) {
        this.#held.delete(idle[0]);
        this.#drop(idle[1]);
      } else if (!this.#inverses.evictOne()) break;
      while (this.bytes > limit && this.#inverses.evictOne());
    }
    this.#report();
  }

  #report(): void {
    const { metrics } = this.parts;
    metrics.shards.set(this.#held.size);
    metrics.inverses.set(this.#inverses.size);
    metrics.bytes.set(this.bytes);
    for (const { shard } of this.#held.values())
      if (shard.report.deviation > this.#worstDeviation) {
        this.#worstDeviation = shard.report.deviation;
        metrics.deviation.set(this.#worstDeviation);
      }
  }
}
