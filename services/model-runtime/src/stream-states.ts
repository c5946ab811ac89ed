import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import type { Deltas, LayerDelta, Model } from '@errata/model';
import type { StateRef, Store } from '@errata/store';
import { type Factors, FoldedLayer, type LayerFold, type Shared } from './folded-layer.js';
import type { HeldFolds, WeightSnapshots } from './weight-snapshots.js';

/** Streams whose factors are kept; the least recently used goes first. */
const maxStreams = 32;
/** Host memory for folds and factors over all streams, in bytes: the folds of ten edited layers of a small model, thirty times. */
const maxBytes = 512 * 1024 * 1024;
/** Batches that are read sooner than snapshots are asked for. */
const fewBatches = 8;

/** Weights of a state: the changed layers, and a name for the content of each. */
export interface WeightState {
  readonly deltas: Deltas;
  /** Equal names mean equal weights; 'base' is the unedited layer. */
  readonly version: (layer: number) => string;
  /** Name of the whole state. */
  readonly name: string;
  /** Log entries that had to be read. */
  readonly entriesRead: number;
  /** Keeps the tensors beyond the next call. @returns what lets them go again */
  readonly hold: () => () => void;
}

interface StreamState {
  readonly layers: Map<number, FoldedLayer>;
  lineage: { seq: number; seqs: readonly number[] };
}

const unedited: WeightState = {
  deltas: new Map(),
  version: () => 'base',
  name: 'base',
  entriesRead: 0,
  hold: () => () => undefined,
};

/** Weights of streams as a cache of the log: every request says which state it means, what is missing is read. */
export class StreamStates {
  readonly #streams = new Map<string, StreamState>();

  constructor(
    private readonly model: Model,
    private readonly store: Pick<Store, 'getStream' | 'lineage' | 'readEntries'>,
    private readonly snapshots: WeightSnapshots | null = null,
  ) {}

  /**
   * Brings a stream to a state. The tensors stay this object's and are valid until the next call, or while held.
   * @throws UNKNOWN_STREAM, UNKNOWN_POSITION, POSITION_COLLECTED, LOG_CORRUPT, INVALID_REQUEST
   */
  async at(state: StateRef | undefined): Promise<WeightState> {
    if (!state || (state.seq === 0 && state.staged.length === 0)) return unedited;
    const stream = await this.#open(state.streamId);
    await this.#follow(stream, state);
    const used = new Map<number, Shared<LayerDelta>>();
    const versions = new Map<number, string>();
    await this.#restore(stream, state.streamId);
    let entriesRead = 0;
    for (const [layer, held] of stream.layers) {
      const staged = state.staged.filter((batch) => batch.layers.includes(layer)).map((batch) => batch.seq);
      const wanted = [...stream.lineage.seqs, ...staged];
      const read = (seqs: readonly number[]) => this.#read(state.streamId, layer, seqs);
      entriesRead += await held.follow(wanted, read);
      if (!held.change) continue;
      used.set(layer, held.change);
      versions.set(layer, `${state.streamId}:${digest(wanted)}`);
    }
    this.#evict(state.streamId);
    const version = (layer: number): string => versions.get(layer) ?? 'base';
    const name = digest([...stream.layers.keys()].map((layer) => `${layer}=${version(layer)}`));
    const deltas = new Map([...used].map(([layer, { value }]) => [layer, value]));
    return { deltas, version, name, entriesRead, hold: () => holdAll([...used.values()]) };
  }

  /**
   * The last fold at or below a committed position, held for a snapshot; null where there are too few columns for one.
   * @throws as `at` does
   */
  async foldsAt(streamId: string, seq: number): Promise<HeldFolds | null> {
    await this.at({ streamId, seq, staged: [] });
    const stream = this.#streams.get(streamId);
    if (!stream) return null;
    const layers = new Map<number, LayerFold>();
    for (const [layer, held] of stream.layers) {
      const fold = held.foldOf(stream.lineage.seqs);
      if (fold) layers.set(layer, fold);
    }
    const [first] = layers.values();
    if (!first) return null;
    const release = holdAll([...layers.values()].map(({ fold }) => fold));
    return { seq: first.seq, layers, release };
  }

  /** Frees everything. */
  dispose(): void {
    for (const id of [...this.#streams.keys()]) this.#drop(id);
  }

  async #open(streamId: string): Promise<StreamState> {
    const known = this.#streams.get(streamId);
    if (known) {
      this.#streams.delete(streamId);
      this.#streams.set(streamId, known);
      return known;
    }
    const { config, modelId } = await this.store.getStream(streamId);
    if (modelId !== this.model.id)
      throw new ErrataError(
        'INVALID_REQUEST',
        `stream ${streamId} is on model ${modelId}, this runtime serves ${this.model.id}`,
      );
    const layers = new Map(config.layers.map((layer) => [layer, new FoldedLayer(this.model, layer)]));
    const opened: StreamState = { layers, lineage: { seq: 0, seqs: [] } };
    this.#streams.set(streamId, opened);
    return opened;
  }

  async #follow(stream: StreamState, state: StateRef): Promise<void> {
    const known = stream.lineage;
    if (state.seq === known.seq) return;
    if (state.seq === 0) {
      stream.lineage = { seq: 0, seqs: [] };
      return;
    }
    const found =
      known.seq === 0
        ? { ...(await this.store.lineage(state.streamId, state.seq)), forked: true }
        : await this.store.lineage(state.streamId, state.seq, known.seq);
    stream.lineage = { seq: state.seq, seqs: found.forked ? found.seqs : [...known.seqs, ...found.seqs] };
  }

  /** Takes folds from snapshots, where there is more to read than a few batches. What is damaged is taken from one below. */
  async #restore({ layers, lineage: { seqs } }: StreamState, streamId: string): Promise<void> {
    const missing = Math.max(...[...layers.values()].map((layer) => layer.missing(seqs)));
    if (this.snapshots === null || missing <= fewBatches) return;
    for (const snapshot of await this.snapshots.find(streamId, seqs)) {
      const count = seqs.indexOf(snapshot.seq) + 1;
      const below = [...layers].filter(([, layer]) => (layer.foldOf(seqs)?.count ?? 0) < count);
      if (below.length === 0) return;
      const names = below.map(([layer]) => layer);
      await this.snapshots.read(snapshot, names, (layer, data) => layers.get(layer)?.adopt(count, snapshot.seq, data));
    }
  }

  async #read(streamId: string, layer: number, seqs: readonly number[]): Promise<Factors[]> {
    const { hiddenSize, intermediateSize } = this.model.config;
    return (await this.store.readEntries(streamId, layer, seqs)).map(({ seq, g, b }) => {
      if (g.rows !== intermediateSize || b.rows !== hiddenSize || g.columns !== b.columns)
        throw new ErrataError(
          'LOG_CORRUPT',
          `entry ${seq} of layer ${layer} of ${streamId} has factors of ${g.rows} × ${g.columns} and ${b.rows} × ${b.columns}`,
        );
      return { g, b };
    });
  }

  #evict(current: string): void {
    while (this.#streams.size > maxStreams || this.#bytes() > maxBytes) {
      const oldest = [...this.#streams.keys()].find((id) => id !== current);
      if (oldest === undefined) return;
      this.#drop(oldest);
    }
  }

  #bytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) for (const layer of stream.layers.values()) bytes += layer.bytes;
    return bytes;
  }

  #drop(id: string): void {
    for (const layer of this.#streams.get(id)?.layers.values() ?? []) layer.dispose();
    this.#streams.delete(id);
  }
}

function holdAll(used: readonly { hold(): () => void }[]): () => void {
  const releases = used.map((shared) => shared.hold());
  return () => {
    for (const release of releases) release();
  };
}

function digest(parts: readonly (number | string)[]): string {
  return createHash('sha256').update(parts.join(',')).digest('hex').slice(0, 32);
}
