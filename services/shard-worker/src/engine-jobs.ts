import { parentPort } from 'node:worker_threads';
import type { RlsParts } from '@errata/rls';
import { TensorError } from '@errata/tensor';
import { EngineHost } from './engine-host.js';
import type { FromEngine, ToEngine } from './engine-protocol.js';
import { transferables } from './transfer.js';
import { fromWire, toWire } from './wire-errors.js';

/** What a thread computes with. */
export interface StartedEngine {
  readonly parts: RlsParts;
  /** Why the native engine was not used where it was wanted; null otherwise. */
  readonly fallbackReason: string | null;
}

/** Does jobs for the main thread, in this one, which ends when its engine does not start or is lost. */
export function serveJobs(start: () => Promise<StartedEngine>): void {
  const port = parentPort;
  if (port === null) throw new Error('engine jobs are done in a worker thread');
  const asked = new Map<number, { resolve: (moment: Float32Array) => void; reject: (error: unknown) => void }>();
  let lastAsk = 0;
  const aborts = new Map<number, AbortController>();

  const answer = (message: FromEngine): void => port.postMessage(message, transferables(message));
  /** Nobody catches what is thrown here: the main thread hears of it, and starts another thread. */
  const end = (error: unknown): void => {
    setImmediate(() => {
      throw error;
    });
  };
  const readMoment = (covariance: string): Promise<Float32Array> =>
    new Promise((resolve, reject) => {
      const ask = ++lastAsk;
      asked.set(ask, { resolve, reject });
      answer({ kind: 'ask', ask, covariance });
    });
  const started = start().then(({ parts, fallbackReason }) => new EngineHost(parts, readMoment, fallbackReason));
  started.catch(end);

  const run = async ({ id, name, input }: Extract<ToEngine, { kind: 'job' }>): Promise<void> => {
    const abort = new AbortController();
    aborts.set(id, abort);
    const host = await started;
    try {
      const job = host[name].bind(host) as (input: unknown, signal: AbortSignal) => unknown;
      answer({ kind: 'done', id, output: await job(input, abort.signal) });
    } catch (error) {
      answer({ kind: 'failed', id, error: toWire(error) });
      // Nothing on a lost device can be used again.
      if (error instanceof TensorError && error.code === 'DEVICE_LOST') end(error);
    } finally {
      aborts.delete(id);
    }
  };

  // The main thread sends one job at a time; an abort may come while it runs.
  port.on('message', (message: ToEngine) => {
    switch (message.kind) {
      case 'abort':
        aborts.get(message.id)?.abort();
        return;
      case 'job':
        // Without an engine the thread ends, and that is the answer.
        run(message).catch(() => undefined);
        return;
      case 'moment':
        asked.get(message.ask)?.resolve(message.moment);
        asked.delete(message.ask);
        return;
      case 'noMoment':
        asked.get(message.ask)?.reject(fromWire(message.error));
        asked.delete(message.ask);
    }
  });
}
