import { type Damage, ErrataError, type RepairReport, type Stream } from '@errata/contracts';
import type { FoundDamage, LogEntry, StoredLogEntry } from '@errata/store';
import { acquireShard, type Dependencies, shardTimeoutMs } from './context.js';
import { recomputeMoment } from './covariance-repair.js';
import { computeApply, computeRevoke } from './layers.js';
import { parentState } from './resolve.js';
import { takeSnapshot } from './snapshot.js';

/**
 * Puts back what the log can give itself: snapshots by replay, covariances from their source, tensors of entries by doing
 * again what the batch did. Nothing is taken that does not give the recorded hash.
 */
export async function repairLog(
  dependencies: Dependencies,
  streamId: string,
  signal: AbortSignal,
): Promise<RepairReport> {
  const { store } = dependencies;
  const stream = await store.getStream(streamId);
  const { damage } = await store.verifyLog(streamId, stream.head);
  const stored = await store.verifyStored(streamId, stream.head);
  const repaired: FoundDamage[] = [];
  const lost: FoundDamage[] = [];
  const settle = async (found: readonly FoundDamage[], work: () => Promise<unknown>) => {
    try {
      await work();
      repaired.push(...found);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ErrataError) || error.retryable) throw error;
      lost.push(...found.map((one) => ({ ...one, detail: `${one.detail}; ${error.message}` })));
    }
  };
  // Covariances first: what is computed anew depends on them. Then entries in order: each depends on those before it.
  for (const one of stored.filter(({ tensor }) => tensor === 'covariance'))
    await settle([one], async () =>
      store.repairCovariance(one.id, await recomputeMoment(dependencies, stream, one, signal)),
    );
  for (const entry of byEntry(damage, stream.config.layers))
    await settle(entry, () => repairEntry(dependencies, entry[0], signal));
  const snapshots = stored.filter(({ tensor }) => tensor === 'snapshot');
  await settle(snapshots, () => retake(dependencies, snapshots, signal));
  lost.push(...stored.filter(({ tensor }) => tensor === 'targets'));
  if (repaired.length > 0) await store.recordRepair(streamId, { repaired: repaired.length, lost: lost.length });
  return { repaired: repaired.map(shown), lost: lost.map(shown), lastGood: await lastGood(dependencies, stream, lost) };
}

/** Damage by entry, in the order in which entries depend on each other. */
function byEntry(damage: readonly FoundDamage[], layers: readonly number[]): FoundDamage[][] {
  const place = ({ seq, layer }: FoundDamage) => seq * layers.length + layers.indexOf(layer ?? 0);
  const groups = new Map<number, FoundDamage[]>();
  for (const one of damage) groups.set(place(one), [...(groups.get(place(one)) ?? []), one]);
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group);
}

async function repairEntry(
  dependencies: Dependencies,
  { streamId, seq, layer }: FoundDamage,
  signal: AbortSignal,
): Promise<void> {
  const { store } = dependencies;
  const stored = await store.readEntryAsStored(streamId, seq, layer ?? 0);
  try {
    // The tensors may be whole and their recorded hashes damaged.
    return await store.repairEntry(stored);
  } catch (error) {
    if (!(error instanceof ErrataError) || error.code !== 'LOG_CORRUPT') throw error;
  }
  const stream = await store.getStream(streamId);
  // An imported adapter has no keys: it is done again.
  if (stored.sign > 0 && stored.keys.columns > 0) {
    try {
      return await store.repairEntry(await fromKeys(dependencies, stream, stored, signal));
    } catch (error) {
      if (!(error instanceof ErrataError) || error.code !== 'LOG_CORRUPT') throw error;
    }
  }
  const batch = await store.getClaimedBatch(streamId, seq);
  const compute = stored.sign > 0 ? computeApply : computeRevoke;
  const { entry } = await compute(dependencies, stream, batch, stored.layer, signal);
  await store.repairEntry({ ...stored, ...tensorsOf(entry) });
}

/** The entry with G and the diagonal of R as the recorded keys give them. */
async function fromKeys(
  dependencies: Dependencies,
  stream: Stream,
  stored: StoredLogEntry,
  signal: AbortSignal,
): Promise<StoredLogEntry> {
  const { store, fleet } = dependencies;
  const { seq, layer, keys, b } = stored;
  const batch = await store.getClaimedBatch(stream.id, seq);
  const { placement, epoch } = await acquireShard(dependencies, stream, layer);
  const state = parentState(stream, batch);
  // G and R do not depend on the residual.
  const residual = { rows: b.rows, columns: b.columns, data: new Float32Array(b.data.length) };
  const update = await fleet.watch(placement, ({ owner, peers }) =>
    owner.apply({ state, layer, epoch, keys, residual, weights: [], peers }, { timeoutMs: shardTimeoutMs, signal }),
  );
  return { ...stored, g: update.g, rDiagonal: update.stats.rDiagonal };
}

function tensorsOf({ keys, g, b, rDiagonal }: LogEntry) {
  return { keys, g, b, rDiagonal };
}

/** Snapshots made anew: their chunks are named by what is in them, so equal bits come out or others are kept. */
async function retake(dependencies: Dependencies, damage: readonly FoundDamage[], signal: AbortSignal): Promise<void> {
  if (damage.length === 0) return;
  const dropped = await dependencies.store.discardChunks(damage.map(({ id }) => id));
  const places = new Map(dropped.map((place) => [`${place.streamId}/${place.seq}`, place]));
  for (const place of places.values()) await takeSnapshot(dependencies, place, signal);
}

/** The position below the first batch of which something that the weights need is lost; null where nothing is. */
async function lastGood({ store }: Dependencies, stream: Stream, lost: readonly FoundDamage[]): Promise<number | null> {
  const seqs = lost
    .filter(({ tensor }) => !['targets', 'snapshot', 'covariance'].includes(tensor))
    .map(({ seq }) => seq);
  if (seqs.length === 0) return null;
  const first = Math.min(...seqs);
  const { seqs: lineage } = await store.lineage(stream.id, stream.head);
  return lineage.filter((seq) => seq < first).at(-1) ?? 0;
}

function shown({ streamId, seq, layer, tensor, detail }: FoundDamage): Damage {
  return { streamId, seq, layer, tensor, detail };
}
