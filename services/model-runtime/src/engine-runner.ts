import type { Pause } from '@errata/model';
import type { CallContext, ModelRuntimeServiceServer, StateRef } from '@errata/rpc';
import type { RuntimeMetrics } from './metrics.js';
import { asRequestError } from './requests.js';
import type { StreamStates, WeightState } from './stream-states.js';
import { pauseFor, type Turn, type WorkQueue } from './work-queue.js';

export type Method = Exclude<keyof ModelRuntimeServiceServer, number | symbol>;

/** What a method has while the engine is its own. */
export interface EngineCall {
  readonly pause: Pause;
  readonly turn: Turn;
  /** The weights of a state, held until the method ends. */
  readonly stateOf: (state: StateRef | undefined) => Promise<WeightState>;
}

/** Runs work on the engine, timed, with the errors of this boundary. */
export interface EngineRunner {
  /** In turn: when all such work before it has ended. */
  run<Result>(method: Method, context: CallContext, work: (call: EngineCall) => Promise<Result>): Promise<Result>;
  /** Beside the work in progress. It must pass its turn after each of its short steps. */
  runBriefly<Result>(
    method: Method,
    context: CallContext,
    work: (call: EngineCall) => Promise<Result>,
  ): Promise<Result>;
}

export function createEngineRunner(parts: {
  readonly states: StreamStates;
  readonly queue: WorkQueue;
  readonly metrics: RuntimeMetrics;
}): EngineRunner {
  const { states, queue, metrics } = parts;

  const runner =
    (kind: 'run' | 'runBriefly'): EngineRunner['run'] =>
    async (method, { signal }, work) => {
      const arrived = performance.now();
      const result = queue[kind](signal, async (turn) => {
        const began = performance.now();
        metrics.waiting.set(queue.waiting);
        metrics.queueSeconds.observe({ method }, (began - arrived) / 1000);
        const held: (() => void)[] = [];
        let outcome = 'error';
        try {
          const result = await work({
            pause: pauseFor(signal, turn),
            turn,
            async stateOf(state) {
              const found = await states.at(state);
              held.push(found.hold());
              metrics.catchUpEntries.observe(found.entriesRead);
              return found;
            },
          });
          outcome = 'ok';
          return result;
        } catch (error) {
          throw asRequestError(error);
        } finally {
          for (const release of held) release();
          metrics.requestSeconds.observe({ method, outcome }, (performance.now() - began) / 1000);
        }
      });
      metrics.waiting.set(queue.waiting);
      return result;
    };
  return { run: runner('run'), runBriefly: runner('runBriefly') };
}
