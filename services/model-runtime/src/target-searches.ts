import type { EditorConfig } from '@errata/contracts';
import { type EditText, type ResolvedTargets, resolveTogether, type TargetRequest } from '@errata/editor';
import type { Model } from '@errata/model';
import { type CallContext, encodeTensor, type ResolveTargetsRequest, type ResolveTargetsResponse } from '@errata/rpc';
import type { RuntimeMetrics } from './metrics.js';
import { asRequestError, parseConfig, parseEdits } from './requests.js';
import type { StreamStates } from './stream-states.js';
import { pauseFor, type Turn, type WorkQueue } from './work-queue.js';

/** How much runs as one search. */
export interface SearchLimits {
  /** Bytes that a search may hold beside the weights. */
  readonly memoryBytes: number;
  readonly requests: number;
}

type Event = NonNullable<ResolveTargetsResponse['event']>;

/** A request that waits to be searched. */
interface Wish {
  readonly message: ResolveTargetsRequest;
  readonly edits: readonly EditText[];
  readonly config: EditorConfig;
  readonly signal: AbortSignal;
  readonly arrived: number;
  /** Aborted when the wish needs its own place in the queue no more. */
  readonly place: AbortController;
  readonly emit: (event: Event) => void;
  readonly settle: (outcome: PromiseSettledResult<void>) => void;
}

interface Parts {
  readonly model: Model;
  readonly states: StreamStates;
  readonly queue: WorkQueue;
  readonly metrics: RuntimeMetrics;
  readonly limits: SearchLimits;
}

/**
 * Target searches. Requests that wait when one of them has its turn run with it as one search; each is answered as soon
 * as its own edits are through, and ends alone when it is refused or its caller goes.
 */
export class TargetSearches {
  #waiting: Wish[] = [];

  constructor(private readonly parts: Parts) {}

  /** @throws INVALID_REQUEST, OUT_OF_MEMORY, and what `StreamStates.at` throws */
  async resolve(message: ResolveTargetsRequest, { signal }: CallContext, emit: (event: Event) => void): Promise<void> {
    const { model, queue, metrics } = this.parts;
    const config = parseConfig(message.configJson, model);
    const edits = parseEdits(message.edits);
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      let settled = false;
      const wish: Wish = {
        ...{ message, edits, config, signal, emit },
        arrived: performance.now(),
        place: new AbortController(),
        settle: (outcome) => {
          if (settled) return;
          settled = true;
          signal.removeEventListener('abort', leave);
          if (outcome.status === 'fulfilled') resolve();
          else reject(asRequestError(outcome.reason));
        },
      };
      const leave = (): void => {
        this.#remove([wish]);
        wish.settle({ status: 'rejected', reason: signal.reason });
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(wish);
      queue
        .run(wish.place.signal, (turn) => this.#search(wish, turn))
        .catch((reason: unknown) => {
          if (reason !== wish.place.signal.reason) wish.settle({ status: 'rejected', reason });
        });
      metrics.waiting.set(queue.waiting);
    });
  }

  /** Takes wishes out of the line, and their places out of the queue. */
  #remove(wishes: readonly Wish[]): void {
    this.#waiting = this.#waiting.filter((wish) => !wishes.includes(wish));
    for (const { place } of wishes) place.abort();
  }

  async #search(first: Wish, turn: Turn): Promise<void> {
    const { model, states, queue, metrics, limits } = this.parts;
    const others = this.#waiting.filter((wish) => wish !== first && lastLayer(wish) === lastLayer(first));
    const wishes = [first, ...others.slice(0, limits.requests - 1)];
    this.#remove(wishes);
    metrics.waiting.set(queue.waiting);
    metrics.targetRequests.observe(wishes.length);
    const began = performance.now();
    const held: (() => void)[] = [];
    const requests: TargetRequest[] = [];
    try {
      for (const wish of wishes) {
        metrics.queueSeconds.observe({ method: 'resolveTargets' }, (began - wish.arrived) / 1000);
        try {
          const { deltas, entriesRead, hold } = await states.at(wish.message.state);
          held.push(hold());
          metrics.catchUpEntries.observe(entriesRead);
          requests.push(this.#requestOf(wish, { deltas, began }));
        } catch (reason) {
          this.#ended(began, 'error');
          wish.settle({ status: 'rejected', reason });
        }
      }
      const pause = pauseFor(new AbortController().signal, turn);
      await resolveTogether(model, requests, { pause, memoryBytes: limits.memoryBytes });
    } finally {
      for (const release of held) release();
      const edits = requests.reduce((sum, request) => sum + request.edits.length, 0);
      if (edits > 0) metrics.targetSecondsPerEdit.observe((performance.now() - began) / 1000 / edits);
    }
  }

  #requestOf(wish: Wish, { deltas, began }: Pick<TargetRequest, 'deltas'> & { began: number }): TargetRequest {
    const { edits, config, signal } = wish;
    return {
      ...{ edits, config, signal },
      ...(deltas && { deltas }),
      onProgress: (progress) => wish.emit({ $case: 'progress', progress }),
      settle: (outcome) => {
        this.#ended(began, outcome.status === 'fulfilled' ? 'ok' : 'error');
        if (outcome.status === 'fulfilled') this.#answer(wish, outcome.value);
        wish.settle(outcome.status === 'fulfilled' ? { ...outcome, value: undefined } : outcome);
      },
    };
  }

  #answer({ message, emit }: Wish, { targets, figures }: ResolvedTargets): void {
    const { model, metrics } = this.parts;
    for (const { steps } of figures) metrics.targetSteps.observe(steps);
    const stats = figures.map((found, i) => ({ editId: message.edits[i].editId, ...found }));
    const tensor = encodeTensor({ rows: model.config.hiddenSize, columns: figures.length, data: targets });
    emit({ $case: 'result', result: { targets: tensor, stats } });
  }

  #ended(began: number, outcome: 'ok' | 'error'): void {
    const seconds = (performance.now() - began) / 1000;
    this.parts.metrics.requestSeconds.observe({ method: 'resolveTargets', outcome }, seconds);
  }
}

function lastLayer({ config }: Wish): number {
  return config.layers[config.layers.length - 1];
}
