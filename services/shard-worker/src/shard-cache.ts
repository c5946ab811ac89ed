import { ErrataError } from '@errata/contracts';
import { FactoredState } from '@errata/rls';
import type { StateRef } from '@errata/rpc';
import type { Store } from '@errata/store';
import type { LinearAlgebra } from '@errata/tensor';
import { asErrataError } from './errors.js';
import { InverseCache } from './inverse-cache.js';
import type { ShardMetrics } from './metrics.js';
import { Shard } from './shard.js';

/** What the worker needs of the store. */
export type ShardStore = Pick<
  Store,
  'getStream' | 'getModel' | 'lineage' | 'readEntries' | 'boundCovariance' | 'readCovariance'
>;

interface Held {
  readonly shard: Shard;
  readonly inverseKey: string;
  /** Requests that run or wait on it. */
  users: number;
}

export interface ShardCacheParts {
  readonly linalg: LinearAlgebra;
  readonly store: ShardStore;
  readonly metrics: ShardMetrics;
  /** Bytes to stay below as far as idle shards can be dropped. */
  readonly memoryBytes: number;
}

/** Shards as a cache of the log: opened when first asked for, dropped least recently used first. */
export class ShardCache {
  /** In order of use, the oldest first. */
  readonly #held = new Map<string, Held>();
  readonly #opening = new Map<string, Promise<void>>();
  readonly #inverses: InverseCache;
  #worstDeviation = 0;

  constructor(private readonly parts: ShardCacheParts) {
    this.#inverses = new InverseCache(parts.linalg, parts.store, parts.metrics);
  }

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    let sum = this.#inverses.bytes;
    for (const { shard } of this.#held.values()) sum += shard.state.bytes;
    return sum;
  }

  /** Runs work on a layer at a state, alone on its shard. @throws ErrataError */
  async at<Result>(
    target: StateRef,
    layer: number,
    signal: AbortSignal,
    work: (state: FactoredState) => Result,
  ): Promise<Result> {
    const { metrics } = this.parts;
    const key = `${target.streamId}/${layer}`;
    const subject = `layer ${layer} of ${target.streamId}`;
    let held: Held | undefined;
    try {
      held = await this.#hold(key, target.streamId, layer);
      const { shard } = held;
      const waited = metrics.waitSeconds.startTimer();
      return await shard.mutex.run(signal, async () => {
        waited();
        const caughtUp = metrics.catchUpSeconds.startTimer();
        const { read } = await shard.catchUp(target, signal);
        caughtUp();
        metrics.entriesRead.inc(read);
        signal.throwIfAborted();
        return work(shard.state);
      });
    } catch (error) {
      throw asErrataError(error, subject);
    } finally {
      if (held !== undefined) held.users--;
      this.#shrink();
    }
  }

  /** The open shard, with its count of users raised before anything else can run: a shard in use is never dropped. */
  async #hold(key: string, streamId: string, layer: number): Promise<Held> {
    for (;;) {
      const present = this.#held.get(key);
      if (present !== undefined) {
        present.users++;
        this.#held.delete(key);
        this.#held.set(key, present);
        return present;
      }
      let opening = this.#opening.get(key);
      if (opening === undefined) {
        opening = this.#open(streamId, layer)
          .then((held) => {
            this.#held.set(key, held);
          })
          .finally(() => this.#opening.delete(key));
        this.#opening.set(key, opening);
      }
      await opening;
    }
  }

  async #open(streamId: string, layer: number): Promise<Held> {
    const { store, linalg } = this.parts;
    const stream = await store.getStream(streamId);
    if (!stream.config.layers.includes(layer))
      throw new ErrataError(
        'INVALID_REQUEST',
        `layer ${layer} is not edited by ${streamId}; its layers are ${stream.config.layers.join(', ')}`,
      );
    const [model, covariance] = await Promise.all([
      store.getModel(stream.modelId),
      store.boundCovariance(streamId, layer),
    ]);
    if (covariance === null)
      throw new ErrataError(
        'NOT_READY',
        `layer ${layer} of ${streamId} has no covariance yet: prepare the stream first`,
      );
    const { key, inverse } = await this.#inverses.acquire(stream.config, covariance);
    const state = new FactoredState(linalg, inverse, model.hiddenSize);
    return { shard: new Shard(streamId, layer, state, store), inverseKey: key, users: 0 };
  }

  #drop(key: string, held: Held): void {
    this.#held.delete(key);
    held.shard.state.dispose();
    this.#inverses.release(held.inverseKey);
  }

  #shrink(): void {
    const { metrics, memoryBytes } = this.parts;
    while (this.bytes > memoryBytes) {
      const idle = [...this.#held].find(([, { users }]) => users === 0);
      if (idle !== undefined) this.#drop(...idle);
      else if (!this.#inverses.evictOne()) break;
      while (this.bytes > memoryBytes && this.#inverses.evictOne());
    }
    metrics.shards.set(this.#held.size);
    metrics.inverses.set(this.#inverses.size);
    metrics.bytes.set(this.bytes);
    for (const { shard } of this.#held.values())
      if (shard.state.deviation > this.#worstDeviation) {
        this.#worstDeviation = shard.state.deviation;
        metrics.deviation.set(this.#worstDeviation);
      }
  }
}
