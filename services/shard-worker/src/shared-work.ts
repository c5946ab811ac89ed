/** Work that several callers wait for. It is told to stop when the last of them has given up. */
export class SharedWork<Result> {
  readonly #abort = new AbortController();
  readonly #result: Promise<Result>;
  #waiting = 0;

  constructor(start: (signal: AbortSignal) => Promise<Result>) {
    this.#result = start(this.#abort.signal);
    this.#result.catch(() => undefined);
  }

  /** Whether all callers have given up: it can no longer be joined. */
  get abandoned(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The result, or the signal's reason when that comes first. */
  async join(signal: AbortSignal): Promise<Result> {
    signal.throwIfAborted();
    this.#waiting++;
    let leave = () => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal.reason);
      signal.addEventListener('abort', leave, { once: true });
    });
    try {
      return await Promise.race([this.#result, left]);
    } finally {
      signal.removeEventListener('abort', leave);
      if (--this.#waiting === 0 && signal.aborted) this.#abort.abort(signal.reason);
    }
  }
}
