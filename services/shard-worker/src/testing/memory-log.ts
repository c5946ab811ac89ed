import { type EditorConfig, ErrataError, editorConfigHash, type Model, newId, type Stream } from '@errata/contracts';
import type { CovarianceInfo, LogEntry, Matrix, StoredLogEntry } from '@errata/store';
import type { ShardStore } from '../shard-cache.js';

/** Inputs d and outputs dₒ of a layer. */
export interface Dimensions {
  readonly inputs: number;
  readonly outputs: number;
}

/** A small model for tests. */
export const dimensions: Dimensions = { inputs: 20, outputs: 6 };

/** The log and what belongs to it, in memory: what the unit tests of this service read instead of Postgres. */
export class MemoryLog implements ShardStore {
  readonly reads: number[][] = [];
  readonly streams = new Map<string, Stream>();
  readonly #parents = new Map<string, number>();
  readonly #entries = new Map<string, StoredLogEntry>();
  readonly #covariances = new Map<string, string>();
  /** Second moments by covariance id. */
  readonly moments = new Map<string, Matrix>();

  /** @param moments whether `moments` begins with one that is well conditioned, called plain */
  constructor(
    private readonly size: Dimensions = dimensions,
    moments: 'plain' | 'none' = 'plain',
  ) {
    if (moments === 'none') return;
    this.moments.set(
      'plain',
      this.moment((i, j) => 0.5 ** Math.abs(i - j) / (1 + Math.min(i, j)) + (i === j ? 0.5 : 0)),
    );
  }

  /** A matrix of the right size for `moments`. */
  moment(element: (i: number, j: number) => number): Matrix {
    const { inputs } = this.size;
    const data = new Float32Array(inputs * inputs);
    for (let i = 0; i < inputs; i++) for (let j = 0; j < inputs; j++) data[i * inputs + j] = element(i, j);
    return { rows: inputs, columns: inputs, data };
  }

  /** @param covariance key of `moments`, or null for a stream that is not prepared */
  addStream(change: Partial<EditorConfig> = {}, covariance: string | null = 'plain'): string {
    const config: EditorConfig = {
      layers: [3, 4],
      lambda: 0.2,
      mu: 1,
      covarianceWeight: 2,
      covarianceTokens: 1000,
      batchSize: 8,
      templates: ['{}'],
      learningRate: 1,
      maxSteps: 10,
      stopLoss: 0.1,
      clamp: 1,
      klWeight: 0,
      weightDecay: 0,
      ...change,
    };
    const id = newId('str');
    if (covariance !== null) this.#covariances.set(id, covariance);
    this.streams.set(id, {
      id,
      name: id,
      modelId: 'm',
      modelName: 'm',
      config,
      configHash: editorConfigHash(config),
      status: 'ready',
      statusDetail: null,
      origin: null,
      head: 0,
      headHash: '',
      createdAt: new Date(0).toISOString(),
      counts: {},
    });
    return id;
  }

  addBatch(streamId: string, seq: number, parent: number): void {
    this.#parents.set(`${streamId}/${seq}`, parent);
  }

  addEntry(entry: Omit<LogEntry, 'stats' | 'configHash'>): void {
    const key = `${entry.streamId}/${entry.seq}/${entry.layer}`;
    this.#entries.set(key, { ...entry, stats: {}, configHash: '', previousHash: '', hash: key });
  }

  async getStream(id: string): Promise<Stream> {
    const stream = this.streams.get(id);
    if (stream === undefined) throw new ErrataError('UNKNOWN_STREAM', `no stream ${id}`);
    return stream;
  }

  async getModel(id: string): Promise<Model> {
    const { inputs, outputs } = this.size;
    return { id, name: id, architecture: 'llama', layers: 8, hiddenSize: outputs, intermediateSize: inputs };
  }

  async lineage(streamId: string, seq: number, knownUpTo?: number) {
    const seqs: number[] = [];
    for (let at = seq; at !== 0; ) {
      if (at === knownUpTo) return { seqs, forked: false };
      const parent = this.#parents.get(`${streamId}/${at}`);
      if (parent === undefined) throw new ErrataError('UNKNOWN_POSITION', `the log has no seq ${at}`);
      seqs.unshift(at);
      at = parent;
    }
    return { seqs, forked: knownUpTo !== undefined };
  }

  async readEntries(streamId: string, layer: number, seqs: readonly number[]): Promise<StoredLogEntry[]> {
    this.reads.push([...seqs]);
    return seqs.map((seq) => {
      const entry = this.#entries.get(`${streamId}/${seq}/${layer}`);
      if (entry === undefined) throw new ErrataError('UNKNOWN_POSITION', `no entry at ${seq}`);
      return { ...entry, keys: copyOf(entry.keys), g: copyOf(entry.g), b: copyOf(entry.b) };
    });
  }

  async boundCovariance(streamId: string, layer: number): Promise<CovarianceInfo | null> {
    const id = this.#covariances.get(streamId);
    if (id === undefined) return null;
    return { id, modelId: 'm', layer, corpusId: 'x', source: 'default', tokens: 1000, dimension: this.size.inputs };
  }

  async readCovariance(id: string): Promise<Matrix> {
    const moment = this.moments.get(id);
    if (moment === undefined) throw new ErrataError('UNKNOWN_POSITION', `no covariance ${id}`);
    return copyOf(moment);
  }
}

/** What is read belongs to the reader, as with Postgres. */
function copyOf(matrix: Matrix): Matrix {
  return { ...matrix, data: matrix.data.slice() };
}
