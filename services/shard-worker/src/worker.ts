import { ErrataError } from '@errata/contracts';
import { type RunningServer, ShardServiceService, serve } from '@errata/rpc';
import type { Registry } from 'prom-client';
import { EngineClient, type EngineClientOptions } from './engine-client.js';
import type { EngineChoice, EngineDescription } from './engine-protocol.js';
import { Epochs } from './epochs.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { ShardCache, type ShardStore } from './shard-cache.js';
import { type ShardSnapshotStore, ShardSnapshots } from './shard-snapshots.js';
import { Peers } from './shares.js';

export interface WorkerOptions {
  /** host:port; port 0 picks a free one. */
  readonly listen: string;
  readonly store: ShardStore;
  readonly registry: Registry;
  readonly engine: EngineChoice;
  readonly memoryBytes: number;
  readonly scratch: string | null;
  /** Where snapshots are kept; null for nowhere. */
  readonly snapshots: ShardSnapshotStore | null;
  /** Seconds of replay at which one is kept; 0 for never. */
  readonly snapshotAfterSeconds: number;
  /** Told when the engine thread ended by itself and is started again. */
  onCrash(reason: Error): void;
  readonly startThread?: EngineClientOptions['start'];
}

export interface RunningWorker {
  readonly server: RunningServer;
  readonly shards: ShardCache;
  readonly engine: EngineDescription;
  /** Lets calls in flight finish for `graceMs`, then ends them and the engine thread. */
  stop(graceMs?: number): Promise<void>;
}

/** Starts the engine thread and serves errata.v1.ShardService. @throws when the engine that was asked for does not load */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { listen, store, registry, memoryBytes, scratch, snapshotAfterSeconds } = options;
  const metrics = createMetrics(registry);
  const engine = new EngineClient({
    prefer: options.engine,
    readMoment: async (covariance) => (await store.readCovariance(covariance)).data,
    onQueue: (length) => metrics.engineQueue.set(length),
    onCrash(reason) {
      metrics.engineCrashes.inc();
      shards.clear();
      options.onCrash(reason);
    },
    ...(options.startThread && { start: options.startThread }),
  });
  const described = engine.run('describe', null);
  const engineName = described.then(({ name }) => name);
  engineName.catch(() => undefined);
  const snapshots = options.snapshots && new ShardSnapshots(options.snapshots, engineName, metrics);
  const shards = new ShardCache({ engine, store, metrics, memoryBytes, scratch, snapshots, snapshotAfterSeconds });
  const peers = new Peers();
  try {
    const description = await described;
    const implementation = createService({ shards, store, engine, peers, epochs: new Epochs(), metrics });
    const server = await serve(listen, [
      { name: 'errata.v1.ShardService', definition: ShardServiceService, implementation },
    ]);
    return {
      server,
      shards,
      engine: description,
      async stop(graceMs) {
        await server.stop(graceMs);
        peers.close();
        await shards.stop();
        await engine.close();
      },
    };
  } catch (error) {
    await engine.close();
    // Why the thread ended, where it could not begin.
    throw error instanceof ErrataError && error.cause instanceof Error ? error.cause : error;
  }
}
