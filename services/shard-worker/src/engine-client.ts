import { SHARE_ENV, Worker } from 'node:worker_threads';
import { ErrataError } from '@errata/contracts';
import type { EngineChoice, FromEngine, JobInput, JobName, JobOutput, ToEngine } from './engine-protocol.js';
import { transferables } from './transfer.js';
import { fromWire, toWire } from './wire-errors.js';

/** Pause before a thread that ended is started again, doubled up to the longest for each that ends without one answer. */
const RESTART_MS = { first: 100, longest: 10_000 };

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hands over the buffers of the input: the caller can no longer read them. */
  readonly transfer?: boolean;
}

export interface EngineClientOptions {
  readonly prefer: EngineChoice;
  /** Second moment of a covariance, d × d; handed over. */
  readMoment(covariance: string): Promise<Float32Array>;
  /** Told when the thread ended by itself: whatever was open in it is gone. */
  onCrash(reason: Error): void;
  /** Told of the number of jobs that wait or run. */
  onQueue(length: number): void;
  /** Starts the thread; for tests. */
  readonly start?: (prefer: EngineChoice) => Worker;
}

interface Job {
  readonly id: number;
  readonly name: JobName;
  readonly input: unknown;
  readonly options: JobOptions;
  readonly resolve: (output: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Starts the engine thread from its compiled module, also where this one runs from source. */
export function startEngineThread(prefer: EngineChoice): Worker {
  const built = import.meta.url.endsWith('.ts') ? '../dist/engine-thread.js' : './engine-thread.js';
  // Libraries read the environment of the process, which a thread's own copy is not.
  return new Worker(new URL(built, import.meta.url), { workerData: { prefer }, name: 'engine', env: SHARE_ENV });
}

/** The engine thread as seen from the main thread: a queue of jobs, of which one runs. */
export class EngineClient {
  readonly #options: EngineClientOptions;
  readonly #queue: Job[] = [];
  #running: Job | null = null;
  #worker: Worker | null = null;
  #restart: NodeJS.Timeout | null = null;
  #pause = RESTART_MS.first;
  #closed = false;
  #lastId = 0;

  constructor(options: EngineClientOptions) {
    this.#options = options;
    this.#start();
  }

  /**
   * Runs a job when its turn comes. A job whose signal aborts while it waits never runs; one that runs is told.
   * @throws RlsError, TensorError; ErrataError NOT_READY when the thread ends meanwhile; the signal's reason
   */
  run<Name extends JobName>(name: Name, input: JobInput<Name>, options: JobOptions = {}): Promise<JobOutput<Name>> {
    const { signal } = options;
    return new Promise<JobOutput<Name>>((resolve, reject) => {
      if (this.#closed) throw new ErrataError('NOT_READY', 'the shard worker is shutting down');
      signal?.throwIfAborted();
      const id = ++this.#lastId;
      const onAbort = () => this.#abort(job);
      const over = () => {
        signal?.removeEventListener('abort', onAbort);
        this.#options.onQueue(this.#queue.length + (this.#running === null ? 0 : 1));
      };
      const job: Job = {
        id,
        name,
        input,
        options,
        resolve: (output) => {
          over();
          resolve(output);
        },
        reject: (error) => {
          over();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(job);
      this.#next();
      this.#options.onQueue(this.#queue.length + (this.#running === null ? 0 : 1));
    });
  }

  /** Ends the thread; jobs that wait or run fail. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#fail(new ErrataError('NOT_READY', 'the shard worker is shutting down'));
    await this.#worker?.terminate();
  }

  #start(): void {
    this.#restart = null;
    const worker = (this.#options.start ?? startEngineThread)(this.#options.prefer);
    let failure: Error | null = null;
    worker.on('message', (message: FromEngine) => {
      if (message.kind === 'ask') void this.#supply(worker, message);
      else this.#answered(message);
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => this.#ended(worker, failure ?? new Error(`it ended with code ${code}`)));
    this.#worker = worker;
    this.#next();
  }

  #next(): void {
    if (this.#running !== null || this.#worker === null) return;
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#running = job;
    const { id, name, input } = job;
    const message: ToEngine = { kind: 'job', id, name, input };
    try {
      this.#worker.postMessage(message, job.options.transfer ? transferables(input) : []);
    } catch (error) {
      this.#running = null;
      job.reject(error);
      this.#next();
    }
  }

  async #supply(worker: Worker, { ask, covariance }: Extract<FromEngine, { kind: 'ask' }>): Promise<void> {
    let answer: ToEngine;
    try {
      answer = { kind: 'moment', ask, moment: await this.#options.readMoment(covariance) };
    } catch (error) {
      answer = { kind: 'noMoment', ask, error: toWire(error) };
    }
    worker.postMessage(answer, transferables(answer));
  }

  #answered(message: Exclude<FromEngine, { kind: 'ask' }>): void {
    const job = this.#running;
    if (job === null || job.id !== message.id) return;
    this.#running = null;
    this.#pause = RESTART_MS.first;
    this.#next();
    if (message.kind === 'done') job.resolve(message.output as never);
    else job.reject(job.options.signal?.aborted ? job.options.signal.reason : fromWire(message.error));
  }

  #abort(job: Job): void {
    if (this.#running === job) this.#worker?.postMessage({ kind: 'abort', id: job.id } satisfies ToEngine);
    else {
      this.#queue.splice(this.#queue.indexOf(job), 1);
      job.reject(job.options.signal?.reason);
    }
  }

  #ended(worker: Worker, reason: Error): void {
    if (this.#closed || worker !== this.#worker) return;
    this.#worker = null;
    this.#options.onCrash(reason);
    this.#fail(
      new ErrataError('NOT_READY', `the engine thread ended: ${reason.message}; it is started again, so try again`, {
        cause: reason,
      }),
    );
    this.#restart = setTimeout(() => this.#start(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, RESTART_MS.longest);
  }

  #fail(error: Error): void {
    const failed = [...(this.#running === null ? [] : [this.#running]), ...this.#queue.splice(0)];
    this.#running = null;
    for (const job of failed) job.reject(error);
  }
}
