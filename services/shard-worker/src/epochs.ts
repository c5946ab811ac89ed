import { ErrataError } from '@errata/contracts';

/** The newest fencing epoch seen of each shard. The store checks it again when the result is written. */
export class Epochs {
  readonly #seen = new Map<string, number>();

  /** @throws ErrataError STALE_EPOCH when a newer owner has been seen */
  admit(streamId: string, layer: number, epoch: number): void {
    const key = `${streamId}/${layer}`;
    const seen = this.#seen.get(key) ?? 0;
    if (epoch < seen)
      throw new ErrataError(
        'STALE_EPOCH',
        `epoch ${epoch} of layer ${layer} of ${streamId} is older than ${seen}: another owner has taken the shard`,
      );
    this.#seen.set(key, epoch);
  }
}
