import { connectShardWorker, type DenseMatrix, type LayerUpdate, type ShardWorker, type StateRef } from '@errata/rpc';
import { Registry } from 'prom-client';
import { type RunningWorker, startWorker, type WorkerOptions } from '../index.js';
import { type Dimensions, dimensions, MemoryLog } from './memory-log.js';

export const limits = { timeoutMs: 30_000 };
/** The edited layer of the tests. */
export const layer = 3;

/** Values between −1 and 1, the same for the same seed. */
export function random(rows: number, columns: number, seed: number): DenseMatrix {
  let state = (seed * 2654435761) >>> 0;
  const data = Float32Array.from({ length: rows * columns }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { rows, columns, data };
}

export const at = (streamId: string, seq: number, staged: number[] = []): StateRef => ({
  streamId,
  seq,
  staged: staged.map((s) => ({ seq: s, layers: [layer] })),
});

/** A worker on a log in memory. */
export interface Bench {
  readonly log: MemoryLog;
  readonly registry: Registry;
  readonly worker: RunningWorker;
  readonly client: ShardWorker;
  readonly address: string;
  /** Value of a metric without labels. */
  metric(name: string): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** Starts a worker; several may share a log. */
export async function startBench(
  log: MemoryLog = new MemoryLog(),
  options: Partial<
    Pick<
      WorkerOptions,
      'memoryBytes' | 'startThread' | 'scratch' | 'engine' | 'onCrash' | 'snapshots' | 'snapshotAfterSeconds'
    >
  > = {},
): Promise<Bench> {
  const registry = new Registry();
  const worker = await startWorker({
    listen: '127.0.0.1:0',
    store: log,
    registry,
    engine: 'auto',
    memoryBytes: 1e9,
    scratch: null,
    snapshots: null,
    snapshotAfterSeconds: 0,
    onCrash: () => undefined,
    ...options,
  });
  const client = connectShardWorker(worker.server.address);
  return {
    log,
    registry,
    worker,
    client,
    address: worker.server.address,
    async metric(name) {
      const metrics = (await registry.getMetricsAsJSON()) as { name: string; values: { value: number }[] }[];
      return metrics.find((m) => m.name === name)?.values[0]?.value;
    },
    async stop() {
      client.close();
      await worker.stop(100);
    },
  };
}

/** Writes an update into the log. */
export function record(log: MemoryLog, streamId: string, seq: number, sign: 1 | -1, update: LayerUpdate): void {
  const { keys, g, b, stats } = update;
  log.addEntry({ streamId, seq, layer, sign, keys, g, b, rDiagonal: stats.rDiagonal });
}

/** Applies a batch of random columns and stages its entry. */
export async function applyAndRecord(
  { log, client }: Pick<Bench, 'log' | 'client'>,
  state: StateRef,
  seq: number,
  columns: number,
  { inputs, outputs }: Dimensions = dimensions,
): Promise<LayerUpdate> {
  const keys = random(inputs, columns, seq);
  const residual = random(outputs, columns, seq + 1000);
  const update = await client.apply({ state, layer, epoch: 1, keys, residual }, limits);
  record(log, state.streamId, seq, 1, update);
  return update;
}

/** Three committed batches of 2, 3 and 1 columns. */
export async function history(bench: Bench, size: Dimensions = dimensions): Promise<string> {
  const streamId = bench.log.addStream();
  for (const [seq, columns] of [
    [1, 2],
    [2, 3],
    [3, 1],
  ]) {
    await applyAndRecord(bench, at(streamId, seq - 1), seq, columns, size);
    bench.log.addBatch(streamId, seq, seq - 1);
  }
  return streamId;
}
