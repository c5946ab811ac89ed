/** Runs tasks one at a time, in the order they were asked for. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs the task when its turn comes, or rejects then with the signal's reason if that came first. */
  run<Result>(signal: AbortSignal, task: () => Promise<Result>): Promise<Result> {
    const turn = this.#tail.then(() => {
      signal.throwIfAborted();
      return task();
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}
