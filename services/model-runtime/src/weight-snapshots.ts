import { ErrataError } from '@errata/contracts';
import { type Model, readFold } from '@errata/model';
import type { SnapshotInfo, SnapshotTensor, Store } from '@errata/store';
import { type FoldSource, foldColumns, type LayerFold } from './folded-layer.js';

/** What snapshots of weights need of the store. */
export type WeightSnapshotStore = Pick<Store, 'findSnapshots' | 'readSnapshotTensor' | 'saveSnapshot'>;

/** Folds of every edited layer at one position, held until they are let go. */
export interface HeldFolds {
  readonly seq: number;
  readonly layers: ReadonlyMap<number, LayerFold>;
  release(): void;
}

/** W − W₀ of the edited layers at folds of a lineage, kept by the store. A damaged one is passed over: the log has it all. */
export class WeightSnapshots {
  readonly form: string;

  constructor(
    private readonly model: Model,
    private readonly store: WeightSnapshotStore,
    /** Told of a snapshot that cannot be read. */
    private readonly onDamaged: (snapshot: SnapshotInfo, error: ErrataError) => void,
  ) {
    this.form = `fold-${foldColumns}/${model.engine.name}`;
  }

  /** Where folds of a lineage can be had for a layer, the latest first. */
  async sources(streamId: string, lineage: readonly number[]): Promise<(layer: number) => FoldSource[]> {
    const found = await this.store.findSnapshots({ streamId, kind: 'weights', form: this.form }, lineage);
    return (layer) =>
      found.map((snapshot) => ({
        count: lineage.indexOf(snapshot.seq) + 1,
        seq: snapshot.seq,
        read: () => this.#read(snapshot, layer),
      }));
  }

  /** Keeps folds as a snapshot of their position. Idempotent. */
  async save(streamId: string, { seq, layers }: HeldFolds): Promise<{ snapshot: SnapshotInfo; created: boolean }> {
    const { hiddenSize: rows, intermediateSize: columns } = this.model.config;
    // One layer at a time in the host's memory.
    async function* tensors(): AsyncGenerator<SnapshotTensor> {
      for (const [layer, { fold }] of layers)
        yield { name: nameOf(layer), rows, columns, data: await readFold(fold.value) };
    }
    return this.store.saveSnapshot({ streamId, seq, kind: 'weights', form: this.form }, tensors());
  }

  async #read(snapshot: SnapshotInfo, layer: number): Promise<Float32Array | null> {
    const { hiddenSize, intermediateSize } = this.model.config;
    try {
      const { rows, columns, data } = await this.store.readSnapshotTensor(snapshot.id, nameOf(layer));
      if (rows === hiddenSize && columns === intermediateSize && data instanceof Float32Array) return data;
      throw new ErrataError('LOG_CORRUPT', `layer ${layer} of the snapshot is ${rows} × ${columns}`);
    } catch (error) {
      if (!(error instanceof ErrataError)) throw error;
      this.onDamaged(snapshot, error);
      return null;
    }
  }
}

function nameOf(layer: number): string {
  return `${layer}/delta`;
}
