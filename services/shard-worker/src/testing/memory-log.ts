import { type EditorConfig, ErrataError, editorConfigHash, type Model, newId, type Stream } from '@errata/contracts';
import type { CovarianceInfo, LogEntry, Matrix, StoredLogEntry } from '@errata/store';
import type { ShardStore } from '../shard-cache.js';

/** A small model for tests: dₒ = 6, d = 20. */
export const dimensions = { inputs: 20, outputs: 6 };

/** The log and what belongs to it, in memory: what the unit tests of this service read instead of Postgres. */
export class MemoryLog implements ShardStore {
  readonly reads: number[][] = [];
  readonly streams = new Map<string, Stream>();
  readonly #parents = new Map<string, number>();
  readonly #entries = new Map<string, StoredLogEntry>();
  readonly #moment: Matrix;

  constructor() {
    const { inputs } = dimensions;
    const data = new Float32Array(inputs * inputs);
    for (let i = 0; i < inputs; i++)
      for (let j = 0; j < inputs; j++) data[i * inputs + j] = 0.5 ** Math.abs(i - j) / (1 + Math.min(i, j));
    for (let i = 0; i < inputs; i++) data[i * inputs + i] += 0.5;
    this.#moment = { rows: inputs, columns: inputs, data };
  }

  addStream(change: Partial<EditorConfig> = {}): string {
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
    this.streams.set(id, {
      id,
      name: id,
      modelId: 'm',
      modelName: 'm',
      config,
      configHash: editorConfigHash(config),
      status: 'ready',
      statusDetail: null,
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
    const { inputs, outputs } = dimensions;
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
      return entry;
    });
  }

  async boundCovariance(streamId: string, layer: number): Promise<CovarianceInfo | null> {
    if (streamId.endsWith('unprepared')) return null;
    return { id: 'c', modelId: 'm', layer, corpusId: 'x', tokens: 1000, dimension: dimensions.inputs };
  }

  async readCovariance(): Promise<Matrix> {
    return this.#moment;
  }
}
