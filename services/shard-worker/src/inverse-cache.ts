import { type EditorConfig, ErrataError } from '@errata/contracts';
import { createInverse, type InverseCovariance } from '@errata/rls';
import type { CovarianceInfo, Store } from '@errata/store';
import type { LinearAlgebra } from '@errata/tensor';
import type { ShardMetrics } from './metrics.js';

interface Held {
  readonly inverse: Promise<InverseCovariance>;
  settled: InverseCovariance | null;
  users: number;
  usedAt: number;
}

/** Inverse covariances by what defines them, shared by the shards of all streams that agree in it. */
export class InverseCache {
  readonly #held = new Map<string, Held>();
  #clock = 0;

  constructor(
    private readonly linalg: LinearAlgebra,
    private readonly store: Pick<Store, 'readCovariance'>,
    private readonly metrics: Pick<ShardMetrics, 'inverseSeconds'>,
  ) {}

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    let sum = 0;
    for (const { settled } of this.#held.values()) sum += settled?.bytes ?? 0;
    return sum;
  }

  /**
   * The inverse covariance of a layer; kept until `release` was called as often.
   * @throws ErrataError as the store does; RlsError ILL_CONDITIONED
   */
  async acquire(
    config: EditorConfig,
    covariance: CovarianceInfo,
  ): Promise<{ key: string; inverse: InverseCovariance }> {
    const key = [covariance.id, config.lambda, config.mu, config.covarianceWeight].join('/');
    let held = this.#held.get(key);
    if (held === undefined) {
      const created: Held = { inverse: this.#create(config, covariance), settled: null, users: 0, usedAt: 0 };
      this.#held.set(key, created);
      created.inverse.then(
        (inverse) => {
          created.settled = inverse;
        },
        () => {
          if (this.#held.get(key) === created) this.#held.delete(key);
        },
      );
      held = created;
    }
    held.users++;
    held.usedAt = ++this.#clock;
    try {
      return { key, inverse: await held.inverse };
    } catch (error) {
      held.users--;
      throw error;
    }
  }

  release(key: string): void {
    const held = this.#held.get(key);
    if (held !== undefined) held.users--;
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
    this.#held.delete(oldest[0]);
    oldest[1].settled?.dispose();
    return true;
  }

  async #create(config: EditorConfig, covariance: CovarianceInfo): Promise<InverseCovariance> {
    const moment = await this.store.readCovariance(covariance.id);
    if (moment.rows !== covariance.dimension || moment.columns !== covariance.dimension)
      throw new ErrataError(
        'INVALID_TENSOR',
        `covariance ${covariance.id} is ${moment.rows} × ${moment.columns}, not of dimension ${covariance.dimension}`,
      );
    const stop = this.metrics.inverseSeconds.startTimer();
    try {
      return createInverse(this.linalg, {
        lambda: config.lambda,
        mu: config.mu,
        covarianceWeight: config.covarianceWeight,
        moment: moment.data,
        dimension: moment.rows,
      });
    } finally {
      stop();
    }
  }
}
