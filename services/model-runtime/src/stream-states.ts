import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { createDelta, type Deltas, disposeDelta, type LayerDelta, type Model } from '@errata/model';
import type { StateRef, Store, StoredLogEntry } from '@errata/store';

/** Streams whose factors are kept; the least recently used goes first. */
const maxStreams = 32;
/** Host memory for factors over all streams, in bytes: 50,000 edits' columns of one layer of a small model. */
const maxBytes = 512 * 1024 * 1024;

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

/** A change on the engine, with those that use it. */
interface SharedDelta {
  readonly delta: LayerDelta;
  holders: number;
  dropped: boolean;
}

interface LayerState {
  /** Factors by seq. An entry of the log never changes, so these stay right when the head moves. */
  readonly entries: Map<number, Pick<StoredLogEntry, 'g' | 'b'>>;
  seqs: readonly number[];
  shared: SharedDelta | undefined;
}

interface StreamState {
  readonly layers: Map<number, LayerState>;
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
  ) {}

  /**
   * Brings a stream to a state. The tensors stay this object's and are valid until the next call, or while held.
   * @throws UNKNOWN_STREAM, UNKNOWN_POSITION, LOG_CORRUPT, INVALID_REQUEST
   */
  async at(state: StateRef | undefined): Promise<WeightState> {
    if (!state || (state.seq === 0 && state.staged.length === 0)) return unedited;
    const stream = await this.#open(state.streamId);
    await this.#follow(stream, state);
    const used = new Map<number, SharedDelta>();
    const versions = new Map<number, string>();
    let entriesRead = 0;
    for (const [layer, held] of stream.layers) {
      const staged = state.staged.filter((batch) => batch.layers.includes(layer)).map((batch) => batch.seq);
      const wanted = [...stream.lineage.seqs, ...staged];
      entriesRead += await this.#fetch(state.streamId, layer, held, wanted);
      if (wanted.join() !== held.seqs.join() || (held.shared === undefined && wanted.length > 0))
        this.#compose(layer, held, wanted);
      if (!held.shared) continue;
      used.set(layer, held.shared);
      versions.set(layer, `${state.streamId}:${digest(wanted)}`);
    }
    this.#evict(state.streamId);
    const version = (layer: number): string => versions.get(layer) ?? 'base';
    const name = digest([...stream.layers.keys()].map((layer) => `${layer}=${version(layer)}`));
    const deltas = new Map([...used].map(([layer, { delta }]) => [layer, delta]));
    return { deltas, version, name, entriesRead, hold: () => hold([...used.values()]) };
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
    const layers = config.layers.map((layer): [number, LayerState] => [
      layer,
      { entries: new Map(), seqs: [], shared: undefined },
    ]);
    const opened: StreamState = { layers: new Map(layers), lineage: { seq: 0, seqs: [] } };
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

  async #fetch(streamId: string, layer: number, held: LayerState, wanted: readonly number[]): Promise<number> {
    const missing = wanted.filter((seq) => !held.entries.has(seq));
    if (missing.length === 0) return 0;
    const { hiddenSize, intermediateSize } = this.model.config;
    for (const { seq, g, b } of await this.store.readEntries(streamId, layer, missing)) {
      if (g.rows !== intermediateSize || b.rows !== hiddenSize || g.columns !== b.columns)
        throw new ErrataError(
          'LOG_CORRUPT',
          `entry ${seq} of layer ${layer} of ${streamId} has factors of ${g.rows} × ${g.columns} and ${b.rows} × ${b.columns}`,
        );
      held.entries.set(seq, { g, b });
    }
    return missing.length;
  }

  /** Always from all columns in order, so that the same state has the same bits however it was reached. */
  #compose(layer: number, held: LayerState, wanted: readonly number[]): void {
    discard(held.shared);
    held.shared = undefined;
    const entries = wanted.map((seq) => held.entries.get(seq) as Pick<StoredLogEntry, 'g' | 'b'>);
    const rank = entries.reduce((sum, { g }) => sum + g.columns, 0);
    const left = new Float32Array(rank * this.model.config.hiddenSize);
    const right = new Float32Array(rank * this.model.config.intermediateSize);
    let columns = 0;
    for (const { g, b } of entries) {
      left.set(b.data, columns * b.rows);
      right.set(g.data, columns * g.rows);
      columns += g.columns;
    }
    const delta = createDelta(this.model, layer, { rank, left, right });
    held.shared = delta && { delta, holders: 0, dropped: false };
    held.seqs = wanted;
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
    for (const stream of this.#streams.values())
      for (const { entries } of stream.layers.values())
        for (const { g, b } of entries.values()) bytes += g.data.byteLength + b.data.byteLength;
    return bytes;
  }

  #drop(id: string): void {
    for (const { shared } of this.#streams.get(id)?.layers.values() ?? []) discard(shared);
    this.#streams.delete(id);
  }
}

function hold(used: readonly SharedDelta[]): () => void {
  for (const shared of used) shared.holders++;
  return () => {
    for (const shared of used) if (--shared.holders === 0 && shared.dropped) disposeDelta(shared.delta);
  };
}

function discard(shared: SharedDelta | undefined): void {
  if (!shared) return;
  shared.dropped = true;
  if (shared.holders === 0) disposeDelta(shared.delta);
}

function digest(parts: readonly (number | string)[]): string {
  return createHash('sha256').update(parts.join(',')).digest('hex').slice(0, 32);
}
