import { ErrataError } from '@errata/contracts';
import type { StateSnapshot } from '@errata/rls';
import type { SnapshotInfo, SnapshotTensor, Store } from '@errata/store';
import type { Precision, Share } from '@errata/tensor';
import type { ShardMetrics } from './metrics.js';

/** What snapshots of shards need of the store. */
export type ShardSnapshotStore = Pick<Store, 'findSnapshots' | 'readSnapshotTensors' | 'saveSnapshot'>;

/** Whose snapshots are meant. */
export interface ShardPlace {
  readonly streamId: string;
  readonly layer: number;
  readonly share: Share;
  readonly precision: Precision;
}

/** Tensors beside the panels, in the order they are kept. */
const VECTORS = ['residuals', 'diagonals', 'leastEigenvalues', 'keyPlaces', 'keys', 'takes'] as const;

/** C, Δ and the history of shards as they were at a fold, kept by the store. A damaged one is passed over: the log has it all. */
export class ShardSnapshots {
  constructor(
    private readonly store: ShardSnapshotStore,
    /** Of the engine: the bits are its own. */
    private readonly engineName: Promise<string>,
    private readonly metrics: Pick<ShardMetrics, 'snapshots'>,
  ) {}

  /** Snapshots of a lineage, the latest first. */
  async find(place: ShardPlace, lineage: readonly number[]): Promise<SnapshotInfo[]> {
    return this.store.findSnapshots(await this.#keyOf(place), lineage);
  }

  /** @returns null where it is damaged, or gone meanwhile */
  async read({ id }: SnapshotInfo, { layer }: ShardPlace): Promise<StateSnapshot | null> {
    const found = new Map<string, SnapshotTensor>();
    const read = (names: readonly string[]) =>
      this.store.readSnapshotTensors(
        id,
        names.map((name) => `${layer}/${name}`),
        async (tensor) => void found.set(tensor.name.slice(`${layer}/`.length), tensor),
      );
    try {
      await read(['figures']);
      const { lengths, firstRows, ...figures } = readFigures(dataOf(found, 'figures'));
      const present = VECTORS.filter((_, i) => lengths[i] > 0);
      await read([...firstRows.map(panelName), 'change', ...present.map(nameOf)]);
      const panels = firstRows.map((firstRow) => {
        const { rows, columns, data } = tensorOf(found, panelName(firstRow));
        return { firstRow, rows, columns, data };
      });
      const vectors = VECTORS.map((name) =>
        present.includes(name) ? dataOf(found, nameOf(name)) : new Float64Array(0),
      );
      const [residuals, diagonals, leastEigenvalues, keyPlaces, keys, takes] = vectors;
      const change = dataOf(found, 'change');
      return { ...figures, panels, change, residuals, diagonals, leastEigenvalues, keyPlaces, keys, takes };
    } catch (error) {
      if (!(error instanceof ErrataError)) throw error;
      this.damaged();
      return null;
    }
  }

  /** Takes note of a snapshot that cannot be used. */
  damaged(): void {
    this.metrics.snapshots.inc({ outcome: 'damaged' });
  }

  /** Takes note of one that was used. */
  restored(): void {
    this.metrics.snapshots.inc({ outcome: 'restored' });
  }

  /** Keeps the state of a committed position. Idempotent. @throws ErrataError as the store does */
  async save(place: ShardPlace, seq: number, snapshot: StateSnapshot): Promise<void> {
    const { layer, precision } = place;
    const { panels, change } = snapshot;
    const row = (name: string, data: Float64Array | Float32Array): SnapshotTensor => ({
      name: `${layer}/${name}`,
      rows: 1,
      columns: data.length,
      data,
    });
    const tensors = [
      row('figures', figuresOf(snapshot)),
      ...panels.map(({ firstRow, rows, columns, data }) => ({
        ...row(panelName(firstRow), data),
        rows,
        columns,
      })),
      // Read from the engine in fp64 whatever it is kept in.
      row('change', precision === 'fp32' ? new Float32Array(change) : change),
      ...VECTORS.filter((name) => snapshot[name].length > 0).map((name) => row(nameOf(name), snapshot[name])),
    ];
    const { created } = await this.store.saveSnapshot({ ...(await this.#keyOf(place)), seq }, tensors);
    if (created) this.metrics.snapshots.inc({ outcome: 'kept' });
  }

  async #keyOf({ streamId, layer, share, precision }: ShardPlace) {
    const form = `layer-${layer}/${await this.engineName}/${precision}/${share.index}-of-${share.count}`;
    return { streamId, kind: 'shard' as const, form };
  }
}

function nameOf(vector: (typeof VECTORS)[number]): string {
  return vector.toLowerCase();
}

function panelName(firstRow: number): string {
  return `c/${firstRow}`;
}

function figuresOf(snapshot: StateSnapshot): Float64Array {
  const { segments, foldRank, trace, storedDeviation, deviation, panels } = snapshot;
  const lengths = VECTORS.map((name) => snapshot[name].length);
  const firstRows = panels.map(({ firstRow }) => firstRow);
  return Float64Array.of(segments, foldRank, trace, storedDeviation, deviation, ...lengths, ...firstRows);
}

function readFigures([segments, foldRank, trace, storedDeviation, deviation, ...rest]: Float64Array) {
  const [lengths, firstRows] = [rest.slice(0, VECTORS.length), rest.slice(VECTORS.length)];
  return { segments, foldRank, trace, storedDeviation, deviation, lengths, firstRows };
}

function tensorOf(found: ReadonlyMap<string, SnapshotTensor>, name: string): SnapshotTensor {
  const tensor = found.get(name);
  if (tensor === undefined) throw new ErrataError('LOG_CORRUPT', `a snapshot lacks ${name}`);
  return tensor;
}

function dataOf(found: ReadonlyMap<string, SnapshotTensor>, name: string): Float64Array {
  const { data } = tensorOf(found, name);
  return data instanceof Float64Array ? data : new Float64Array(data);
}
