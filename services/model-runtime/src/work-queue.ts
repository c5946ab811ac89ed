/** Stretch in milliseconds after which work passes the engine on in the middle; a token takes some 10 to 100. */
const sliceMs = 100;

/** Work in possession of the engine. */
export interface Turn {
  /** Lets the brief work that waits by now, and the work that it interrupted, go first. */
  pass(): Promise<void>;
}

/**
 * Who uses the engine. Pieces of work go one after the other, in order of arrival. Brief work (a token of a generation)
 * does not wait for their ends: it takes turns with the one that runs, wherever that passes its turn.
 */
export class WorkQueue {
  readonly #work = new Lock();
  readonly #engine = new Lock();
  #waiting = 0;

  /** Pieces of work that have not begun. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Runs `work` when all earlier work has ended. When `signal` aborts before that, it leaves the queue at once. */
  run<Result>(signal: AbortSignal, work: (turn: Turn) => Promise<Result>): Promise<Result> {
    return this.#begin(signal, [this.#work, this.#engine], work);
  }

  /** Runs `work` as soon as the engine is passed on. It must pass its own turn after each of its steps. */
  runBriefly<Result>(signal: AbortSignal, work: (turn: Turn) => Promise<Result>): Promise<Result> {
    return this.#begin(signal, [this.#engine], work);
  }

  async #begin<Result>(
    signal: AbortSignal,
    locks: readonly Lock[],
    work: (turn: Turn) => Promise<Result>,
  ): Promise<Result> {
    const taken: Lock[] = [];
    this.#waiting++;
    try {
      for (const lock of locks) {
        await lock.take(signal);
        taken.push(lock);
      }
    } catch (error) {
      for (const lock of taken) lock.give();
      throw error;
    } finally {
      this.#waiting--;
    }
    try {
      signal.throwIfAborted();
      return await work({ pass: () => this.#engine.pass() });
    } finally {
      for (const lock of locks) lock.give();
    }
  }
}

/** Who holds it goes last when passing it on, so everybody has a turn. */
class Lock {
  readonly #waiting: (() => void)[] = [];
  #taken = false;

  /** @throws the signal's reason when it aborts while waiting */
  async take(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#taken) await this.#turn(signal);
    this.#taken = true;
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason);
      };
      const enter = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.#waiting.push(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  /** To the longest waiting; it stays taken meanwhile, so that nobody gets in between. */
  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken = false;
  }

  async pass(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const again = this.take();
    this.give();
    await again;
  }
}

/** Hands the event loop to others and, after a while, the engine; ends the work when its caller has gone. */
export function pauseFor(signal: AbortSignal, turn?: Turn): () => Promise<void> {
  let since = performance.now();
  return async () => {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (turn && performance.now() - since >= sliceMs) {
      await turn.pass();
      since = performance.now();
    }
    signal.throwIfAborted();
  };
}
