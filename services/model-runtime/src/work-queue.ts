/** Lets one piece of work at a time use the engine, in order of arrival. */
export class WorkQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Pieces of work that have not begun. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Runs `work` when all earlier work has ended; not at all when `signal` has aborted by then. */
  run<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    this.#waiting++;
    const turn = this.#tail.then(() => {
      this.#waiting--;
      signal.throwIfAborted();
      return work();
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}

/** Hands the event loop to others, then ends the work when its caller has gone. */
export function pauseFor(signal: AbortSignal): () => Promise<void> {
  return async () => {
    await new Promise<void>((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  };
}
