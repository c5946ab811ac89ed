import { type EditorConfig, ErrataError, type Stream } from '@errata/contracts';
import type { Model } from '@errata/model';
import { generator } from '@errata/model/testing';
import type { Matrix, Store, StoredLogEntry } from '@errata/store';

/** A configuration that suits the tiny model. */
export const testConfig: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}'],
  learningRate: 1,
  maxSteps: 8,
  stopLoss: 0.1,
  clamp: 5,
  klWeight: 0.0625,
  weightDecay: 0.001,
};

/** A log in memory: two batches on the lineage, a third beside the second, a fourth staged for one layer. */
export class MemoryLog implements Pick<Store, 'getStream' | 'lineage' | 'readEntries'> {
  reads = 0;
  readonly parents = new Map([
    [1, 0],
    [2, 1],
    [3, 1],
  ]);

  /** @param streams ids of the streams it holds; each has changes of its own */
  constructor(
    private readonly model: Model,
    private readonly streams: readonly string[] = ['str_a'],
  ) {}

  async getStream(id: string): Promise<Stream> {
    if (!this.streams.includes(id)) throw new ErrataError('UNKNOWN_STREAM', `no stream ${id}`);
    return { config: testConfig, modelId: this.model.id } as Stream;
  }

  async lineage(_: string, seq: number, known?: number): Promise<{ seqs: number[]; forked: boolean }> {
    const seqs: number[] = [];
    for (let at = seq; at > 0; at = this.parents.get(at) ?? 0) seqs.unshift(at);
    const at = known === undefined ? -1 : seqs.indexOf(known);
    return at >= 0 ? { seqs: seqs.slice(at + 1), forked: false } : { seqs, forked: true };
  }

  async readEntries(streamId: string, layer: number, seqs: readonly number[]): Promise<StoredLogEntry[]> {
    this.reads += seqs.length;
    return seqs.map((seq) => {
      const random = generator(100 * seq + layer + 1000 * this.streams.indexOf(streamId));
      const matrix = (rows: number): Matrix => ({
        rows,
        columns: 2,
        data: Float32Array.from({ length: rows * 2 }, () => (random() - 0.5) / 2),
      });
      const g = matrix(this.model.config.intermediateSize);
      const b = matrix(this.model.config.hiddenSize);
      const rest = { sign: 1 as const, rDiagonal: [], stats: {}, configHash: '', previousHash: '', hash: '' };
      return { streamId, seq, layer, keys: g, g, b, ...rest };
    });
  }
}
