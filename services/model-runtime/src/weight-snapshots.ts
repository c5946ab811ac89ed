import { ErrataError } from '@errata/contracts';
import { type Model, readFold } from '@errata/model';
import type { SnapshotInfo, SnapshotTensor, Store } from '@errata/store';
import { foldColumns, type LayerFold } from './folded-layer.js';

/** What snapshots of weights need of the store. */
export type WeightSnapshotStore = Pick<Store, 'findSnapshots' | 'readSnapshotTensors' | 'saveSnapshot'>;

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

  /** Snapshots of a lineage, the latest first. */
  find(streamId: string, lineage: readonly number[]): Promise<SnapshotInfo[]> {
    return this.store.findSnapshots({ streamId, kind: 'weights', form: this.form }, lineage);
  }

  /** Reads layers of a snapshot; those that are damaged are left out. @param use of a layer's numbers, row-major */
  async read(
    snapshot: SnapshotInfo,
    layers: readonly number[],
    use: (layer: number, data: Float32Array) => void,
  ): Promise<void> {
    const { hiddenSize, intermediateSize } = this.model.config;
    const left = [...layers];
    while (left.length > 0)
      try {
        await this.store.readSnapshotTensors(snapshot.id, left.map(nameOf), async ({ rows, columns, data }) => {
          const layer = left[0];
          if (rows !== hiddenSize || columns !== intermediateSize || !(data instanceof Float32Array))
            throw new ErrataError('LOG_CORRUPT', `layer ${layer} of the snapshot is ${rows} × ${columns}`);
          use(layer, data);
          left.shift();
        });
      } catch (error) {
        if (!(error instanceof ErrataError)) throw error;
        // Removed meanwhile: as if it had never been found.
        if (error.code === 'UNKNOWN_POSITION') return;
        this.onDamaged(snapshot, error);
        left.shift();
      }
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
}

function nameOf(layer: number): string {
  return `${layer}/delta`;
}
