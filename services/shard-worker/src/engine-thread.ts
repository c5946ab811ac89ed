import { parentPort, workerData } from 'node:worker_threads';
import { createEngine, createMatrixEngine, TensorError } from '@errata/tensor';
import { EngineHost } from './engine-host.js';
import type { EngineChoice, FromEngine, ToEngine } from './engine-protocol.js';
import { transferables } from './transfer.js';
import { fromWire, toWire } from './wire-errors.js';

const port = parentPort;
if (port === null) throw new Error('this module runs in a worker thread');
const { prefer } = workerData as { readonly prefer: EngineChoice };

const asked = new Map<number, { resolve: (moment: Float32Array) => void; reject: (error: unknown) => void }>();
let lastAsk = 0;
const aborts = new Map<number, AbortController>();
const started = start();
// Each job answers with the reason; before the first there is no one to hear it.
started.catch(() => undefined);

async function start(): Promise<EngineHost> {
  const { linalg, fallbackReason } = await createEngine({ prefer: prefer === 'webgpu' ? 'auto' : prefer });
  return new EngineHost({ engine: await createMatrixEngine({ prefer }), linalg }, readMoment, fallbackReason);
}

function readMoment(covariance: string): Promise<Float32Array> {
  return new Promise((resolve, reject) => {
    const ask = ++lastAsk;
    asked.set(ask, { resolve, reject });
    answer({ kind: 'ask', ask, covariance });
  });
}

function answer(message: FromEngine): void {
  port?.postMessage(message, transferables(message));
}

async function run({ id, name, input }: Extract<ToEngine, { kind: 'job' }>): Promise<FromEngine> {
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    const host = await started;
    const job = host[name].bind(host) as (input: unknown, signal: AbortSignal) => unknown;
    return { kind: 'done', id, output: await job(input, abort.signal) };
  } catch (error) {
    // Nothing on a lost device can be used again: the thread ends, and another is started.
    if (error instanceof TensorError && error.code === 'DEVICE_LOST')
      setImmediate(() => {
        throw error;
      });
    return { kind: 'failed', id, error: toWire(error) };
  } finally {
    aborts.delete(id);
  }
}

// The main thread sends one job at a time; an abort may come while it runs.
port.on('message', (message: ToEngine) => {
  switch (message.kind) {
    case 'abort':
      aborts.get(message.id)?.abort();
      return;
    case 'job':
      void run(message).then(answer);
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
