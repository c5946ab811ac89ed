import { ErrataError } from '@errata/contracts';
import type { StateRef } from '@errata/rpc';
import type { ShardMetrics } from './metrics.js';

/** @throws ErrataError INVALID_REQUEST when a request names no state */
export function stateOf(state: StateRef | undefined): StateRef {
  if (state === undefined || state.streamId === '')
    throw new ErrataError('INVALID_REQUEST', 'state is missing: name the stream and the seq the request builds on');
  return state;
}

/** Measures a request until its answer is ready. */
export interface Timed {
  once<Result>(method: string, work: () => Promise<Result>): Promise<Result>;
  /** The messages of an answer that is ready before the first is sent. */
  stream<Message>(method: string, work: () => Promise<Iterable<Message>>): AsyncGenerator<Message>;
}

export function timedBy({ requestSeconds }: Pick<ShardMetrics, 'requestSeconds'>): Timed {
  const once = async <Result>(method: string, work: () => Promise<Result>): Promise<Result> => {
    const start = performance.now();
    const stop = (outcome: string) => requestSeconds.observe({ method, outcome }, (performance.now() - start) / 1000);
    try {
      const result = await work();
      stop('ok');
      return result;
    } catch (error) {
      stop(error instanceof ErrataError ? error.code : 'INTERNAL');
      throw error;
    }
  };
  return {
    once,
    async *stream(method, work) {
      yield* await once(method, work);
    },
  };
}
