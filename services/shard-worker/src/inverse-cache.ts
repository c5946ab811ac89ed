import { type EditorConfig, ErrataError } from '@errata/contracts';
import type { CovarianceInfo, Store } from '@errata/store';
import type { Share } from '@errata/tensor';
import type { EngineClient } from './engine-client.js';
import type { InverseReport } from './engine-protocol.js';
import { inverseNeed } from './memory.js';
import type { ShardMetrics } from './metrics.js';
import { SharedWork } from './shared-work.js';

/** An inverse covariance in the engine thread. */
export interface OpenInverse {
  /** Its number there. */
  readonly inverse: number;
  readonly report: InverseReport;
}

interface Held {
  readonly work: SharedWork<OpenInverse>;
  settled: OpenInverse | null;
  users: number;
  usedAt: number;
}

export interface InverseCacheParts {
  readonly engine: EngineClient;
  readonly store: Pick<Store, 'readCovariance'>;
  readonly metrics: Pick<ShardMetrics, 'inverseSeconds' | 'condition'>;
  /** Folder for inversions that do not fit into memory; null for none. */
  readonly scratch: string | null;
  /** Makes room, as far as idle things can be dropped. @throws ErrataError OUT_OF_MEMORY when it can never be had */
  reserve(bytes: number, what: string): void;
  /** Whether so many bytes fit at all. */
  fits(bytes: number): boolean;
}

/** Inverse covariances by what defines them, shared by the shards of all streams that agree in it. */
export class InverseCache {
  readonly #held = new Map<string, Held>();
  #clock = 0;
  #lastNumber = 0;

  constructor(private readonly parts: InverseCacheParts) {}

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    let sum = 0;
    for (const { settled } of this.#held.values()) sum += settled?.report.bytes ?? 0;
    return sum;
  }

  /**
   * The inverse covariance of a layer; kept until it is released.
   * @throws ErrataError as the store does, OUT_OF_MEMORY; RlsError ILL_CONDITIONED; TensorError OUT_OF_MEMORY
   */
  async acquire(
    config: EditorConfig,
    covariance: CovarianceInfo,
    share: Share,
    signal: AbortSignal,
  ): Promise<OpenInverse & { release(): void }> {
    const { lambda, mu, covarianceWeight, conditioning = 'refuse', precision = 'auto' } = config;
    const key = [covariance.id, lambda, mu, covarianceWeight, conditioning, precision, share.index, share.count].join(
      '/',
    );
    let held = this.#held.get(key);
    if (held === undefined || held.work.abandoned) {
      const work = new SharedWork((stop) => this.#create(config, covariance, share, stop));
      const created: Held = { work, settled: null, users: 0, usedAt: 0 };
      this.#held.set(key, created);
      held = created;
    }
    const mine = held;
    mine.users++;
    mine.usedAt = ++this.#clock;
    try {
      mine.settled = await mine.work.join(signal);
      return { ...mine.settled, release: () => void mine.users-- };
    } catch (error) {
      mine.users--;
      if (mine.settled === null && this.#held.get(key) === mine && (mine.users === 0 || !signal.aborted))
        this.#held.delete(key);
      throw error;
    }
  }

  /** Drops the least recently used inverse that no shard uses. @returns whether there was one */
  evictOne(): boolean {
    let oldest: [string, Held] | null = null;
    for (const entry of this.#held) {
      const [, held] = entry;
      if (held.users === 0 && held.settled !== null && (oldest === null || held.usedAt < oldest[1].usedAt))
        oldest = entry;
    }
    if (oldest === null) return false;
    const [key, { settled }] = oldest;
    this.#held.delete(key);
    if (settled !== null) this.#close(settled.inverse);
    return true;
  }

  /** Forgets all: the thread they were in is gone. */
  clear(): void {
    this.#held.clear();
  }

  #close(inverse: number): void {
    // Fails only when the thread ends, and the inverse with it.
    this.parts.engine.run('closeInverse', { inverse }).catch(() => undefined);
  }

  async #create(
    config: EditorConfig,
    covariance: CovarianceInfo,
    share: Share,
    signal: AbortSignal,
  ): Promise<OpenInverse> {
    const { engine, store, metrics, scratch, reserve, fits } = this.parts;
    const { dimension } = covariance;
    const { resident, making, panels } = inverseNeed(dimension, config, share);
    const inMemory = resident + making + panels;
    const spill = scratch !== null && !fits(inMemory);
    reserve(
      spill ? resident + making : inMemory,
      `the inverse covariance of ${dimension} inputs, share ${share.index} of ${share.count}`,
    );
    const moment = await store.readCovariance(covariance.id);
    if (moment.rows !== dimension || moment.columns !== dimension)
      throw new ErrataError(
        'INVALID_TENSOR',
        `covariance ${covariance.id} is ${moment.rows} × ${moment.columns}, not of dimension ${dimension}`,
      );
    signal.throwIfAborted();
    const inverse = ++this.#lastNumber;
    const stop = metrics.inverseSeconds.startTimer();
    try {
      const report = await engine.run(
        'openInverse',
        {
          inverse,
          lambda: config.lambda,
          mu: config.mu,
          covarianceWeight: config.covarianceWeight,
          covariance: covariance.id,
          moment: moment.data,
          dimension,
          precision: config.precision ?? 'auto',
          policy: config.conditioning ?? 'refuse',
          share,
          scratch: spill ? scratch : null,
        },
        { signal, transfer: true },
      );
      metrics.condition.set(report.condition);
      if (signal.aborted) {
        this.#close(inverse);
        signal.throwIfAborted();
      }
      return { inverse, report };
    } finally {
      stop();
    }
  }
}
