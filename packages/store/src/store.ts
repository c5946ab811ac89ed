import { ErrataError } from '@errata/contracts';
import { adapterRecords } from './adapters.js';
import { batchRecords } from './batch-records.js';
import { branchRecords } from './branches.js';
import { checkpointRecords } from './checkpoints.js';
import { chunkBodies, type ObjectStore } from './chunk-bodies.js';
import { chunkStore } from './chunks.js';
import { claimRecords } from './claim.js';
import { claimRevokeRecords } from './claim-revoke.js';
import { commitRecords } from './commit.js';
import { compareRecords } from './compare.js';
import { corpusRecords } from './corpora.js';
import { covariancePartialRecords } from './covariance-partials.js';
import { covarianceRecords } from './covariances.js';
import { type Database, openDatabase, type StoreLogger } from './database.js';
import { editHistoryRecords } from './edit-history.js';
import { editRecords } from './edits.js';
import { enqueueRecords } from './enqueue.js';
import { toStoreError } from './errors.js';
import { evaluationRecords } from './evaluations.js';
import { eventRecords } from './events.js';
import { expiryRecords } from './expiry.js';
import { exportRecords } from './exports.js';
import { figureRecords } from './figures.js';
import { garbageRecords } from './garbage.js';
import { guardSettingRecords } from './guard-settings.js';
import { guardTripRecords } from './guard-trips.js';
import { lineageRecords } from './lineage.js';
import { logRecords } from './log.js';
import { mergeRecords } from './merges.js';
import { APPLIED, pendingMigrations, readMigrations } from './migrate.js';
import { modelRecords } from './models.js';
import { workRecords } from './next-work.js';
import { positionRecords } from './positions.js';
import { probeRecords } from './probes.js';
import { publicationRecords } from './publications.js';
import { repairRecords } from './repair.js';
import { replayCostRecords } from './replay-cost.js';
import { revocationRecords } from './revocations.js';
import { rollbackRecords } from './rollback.js';
import { settleRecords } from './settle.js';
import { shardRecords } from './shards.js';
import { snapshotRecords } from './snapshots.js';
import { streamRecords } from './streams.js';
import { targetRecords } from './targets.js';
import type { Store } from './types.js';
import { verifyRecords } from './verify.js';
import { verifyStoredRecords } from './verify-stored.js';

const DEFAULT_POOL_SIZE = 10;

export interface StoreOptions {
  /** postgresql://user:password@host:port/database */
  readonly databaseUrl: string;
  /** Most connections held at once; 10 when left out. */
  readonly poolSize?: number;
  /** Told of lost idle connections. */
  readonly logger?: StoreLogger;
  /** Where chunks of snapshots go instead of Postgres; every process that reads or collects them needs it. */
  readonly objects?: ObjectStore | null;
  /** Whether chunks are compressed: a seventh smaller, at a third of the speed. */
  readonly compressChunks?: boolean;
}

function healthRecords(db: Database): Pick<Store, 'ping' | 'close'> {
  return {
    async ping() {
      const applied = await db.prisma.$queryRawUnsafe<Parameters<typeof pendingMigrations>[1]>(APPLIED);
      const [missing] = pendingMigrations(await readMigrations(), applied);
      if (missing) throw new ErrataError('NOT_READY', `the database lacks the migration ${missing.name}: run migrate`);
    },
    close: () => db.close(),
  };
}

/** The same methods, whose failures are all ErrataErrors. */
function guarded(store: Store): Store {
  const wrapped = Object.entries(store).map(([name, method]: [string, (...args: unknown[]) => Promise<unknown>]) => [
    name,
    async (...args: unknown[]) => {
      try {
        return await method(...args);
      } catch (error) {
        throw toStoreError(error, name);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Store;
}

/** Opens the store on a migrated database. It connects on first use; see `ping`. */
export function createStore(options: StoreOptions): Store {
  const { databaseUrl, poolSize = DEFAULT_POOL_SIZE, logger, objects = null, compressChunks = false } = options;
  const db = openDatabase(databaseUrl, poolSize, logger);
  const bodies = chunkBodies(db, objects);
  const chunks = chunkStore(db, bodies, compressChunks);
  const covariances = covarianceRecords(db);
  const streams = streamRecords(db);
  const edits = editRecords(db);
  return guarded({
    ...modelRecords(db),
    ...streams,
    ...branchRecords(db, streams),
    ...enqueueRecords(db),
    ...edits,
    ...compareRecords(db, edits),
    ...mergeRecords(db),
    ...claimRecords(db),
    ...claimRevokeRecords(db),
    ...workRecords(db),
    ...revocationRecords(db),
    ...expiryRecords(db),
    ...editHistoryRecords(db),
    ...batchRecords(db),
    ...settleRecords(db),
    ...targetRecords(db),
    ...logRecords(db),
    ...commitRecords(db),
    ...lineageRecords(db),
    ...positionRecords(db),
    ...verifyRecords(db),
    ...checkpointRecords(db),
    ...snapshotRecords(db, chunks),
    ...verifyStoredRecords(db, chunks),
    ...repairRecords(db),
    ...replayCostRecords(db),
    ...garbageRecords(db, bodies),
    ...rollbackRecords(db),
    ...eventRecords(db),
    ...covariances,
    ...covariancePartialRecords(db, covariances.saveCovariance),
    ...adapterRecords(db),
    ...corpusRecords(db),
    ...shardRecords(db),
    ...evaluationRecords(db),
    ...figureRecords(db),
    ...guardSettingRecords(db),
    ...probeRecords(db),
    ...guardTripRecords(db),
    ...exportRecords(db),
    ...publicationRecords(db),
    ...healthRecords(db),
  });
}
