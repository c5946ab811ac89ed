import { ErrataError, newId } from '@errata/contracts';
import type { SnapshotInfo, SnapshotTensor } from '@errata/store';
import type { ShardSnapshotStore } from '../shard-snapshots.js';

/** Snapshots in memory, each of which can be damaged. */
export class MemorySnapshots implements ShardSnapshotStore {
  readonly kept: SnapshotInfo[] = [];
  /** Ids of those that do not match their hashes. */
  readonly damaged = new Set<string>();
  readonly #tensors = new Map<string, SnapshotTensor[]>();

  async findSnapshots(key: Omit<SnapshotInfo, 'id' | 'seq' | 'hash' | 'bytes' | 'createdAt'>, seqs: readonly number[]) {
    return this.kept
      .filter(({ streamId, form, seq }) => streamId === key.streamId && form === key.form && seqs.includes(seq))
      .sort((a, b) => b.seq - a.seq);
  }

  async readSnapshotTensors(id: string, names: readonly string[], use: (tensor: SnapshotTensor) => Promise<void>) {
    for (const name of names) {
      const tensor = this.#tensors.get(id)?.find((one) => one.name === name);
      if (tensor === undefined) throw new ErrataError('UNKNOWN_POSITION', `no snapshot ${id} has a tensor ${name}`);
      if (this.damaged.has(id)) throw new ErrataError('LOG_CORRUPT', `a chunk of ${id} does not match its hash`);
      await use({ ...tensor, data: tensor.data.slice() });
    }
  }

  async saveSnapshot(
    key: Parameters<ShardSnapshotStore['saveSnapshot']>[0],
    tensors: AsyncIterable<SnapshotTensor> | Iterable<SnapshotTensor>,
  ) {
    const same = (one: SnapshotInfo) => one.streamId === key.streamId && one.seq === key.seq && one.form === key.form;
    const before = this.kept.find(same);
    if (before !== undefined) return { snapshot: before, created: false };
    const copies: SnapshotTensor[] = [];
    for await (const tensor of tensors) copies.push({ ...tensor, data: tensor.data.slice() });
    const bytes = copies.reduce((sum, { data }) => sum + data.byteLength, 0);
    const snapshot = { ...key, id: newId('snp'), hash: '', bytes, createdAt: new Date(0).toISOString() };
    this.#tensors.set(snapshot.id, copies);
    this.kept.push(snapshot);
    return { snapshot, created: true };
  }
}
