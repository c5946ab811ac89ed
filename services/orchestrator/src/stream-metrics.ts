import { type Forecast, type LayerDrift, streamStatusSchema } from '@errata/contracts';
import type { EvaluationFigures, ProbeFigures, Store, StreamFigures } from '@errata/store';
import { sharedReading } from '@errata/telemetry';
import { Gauge, type Registry } from 'prom-client';
import { exportProbeMetrics } from './probe-metrics.js';

/** Label of the streams beyond the limit, added up. Not a possible name: those have no parentheses. */
const otherStreams = '(others)';

const statuses = streamStatusSchema.options;

const driftGauges: readonly (readonly [field: keyof LayerDrift, name: string, help: string])[] = [
  ['deltaNorm', 'errata_drift_delta_norm', 'Frobenius norm of W - W0 of an edited layer'],
  ['deltaBound', 'errata_drift_delta_bound', 'Upper bound of that norm'],
  ['boundShare', 'errata_drift_bound_share', 'The norm over its bound'],
  ['spectralNorm', 'errata_drift_spectral_norm', 'Largest singular value of W - W0'],
  ['anchorDeviation', 'errata_drift_anchor_deviation', 'Frobenius norm of (W - W0) K0: change on what must stay'],
  ['effectiveRank', 'errata_drift_effective_rank', 'Directions that carry the change'],
  ['rank', 'errata_drift_rank', 'Columns recorded'],
  ['conditionEstimate', 'errata_drift_condition_estimate', 'Estimated condition number of the inverse covariance'],
  ['capacityLeft', 'errata_drift_capacity_left_ratio', 'tr C / tr C0: freedom of the keys that is left'],
  ['editedNorm', 'errata_drift_edited_norm', 'Root mean square of |(W - W0) k| / |k| over the keys in the weights'],
  ['information', 'errata_drift_information_nats', 'log det C0 - log det C: key space spent'],
  [
    'lambdaMinT',
    'errata_drift_revocation_eigenvalue',
    'Least eigenvalue of I - K^T C K of the newest revocation; 1 where there is none',
  ],
];

const evaluationGauges: readonly (readonly [field: keyof EvaluationFigures, name: string, help: string])[] = [
  ['rewriteAfter', 'errata_evaluation_rewrite_ratio', 'Edits that the model answers with their target'],
  ['paraphraseAfter', 'errata_evaluation_paraphrase_ratio', 'Paraphrases that prefer the target'],
  ['neighboursKept', 'errata_evaluation_neighbour_ratio', 'Neighbours that keep their answer'],
  ['perplexityBefore', 'errata_evaluation_base_perplexity', 'Perplexity of the unedited model on held-out text'],
  ['perplexityAfter', 'errata_evaluation_perplexity', 'Perplexity on held-out text'],
];

export interface StreamMetricsOptions {
  readonly store: Pick<
    Store,
    'streamFigures' | 'newestEvaluations' | 'evaluationFigures' | 'storageBytes' | 'probeFigures' | 'forecasts'
  >;
  /** Streams that have a label of their own; the others are added up. */
  readonly limit: number;
}

/** What is read of the database for a page. */
export interface Reading {
  readonly streams: readonly StreamFigures[];
  readonly evaluations: ReadonlyMap<string, EvaluationFigures>;
  readonly storage: { readonly log: number; readonly database: number };
  readonly probes: readonly ProbeFigures[];
  /** Of the streams within the limit that have a round. */
  readonly forecasts: ReadonlyMap<string, readonly Forecast[]>;
}

/** Makes a gauge that is filled from the reading of the page. */
export type FillGauge = <Label extends string>(
  name: string,
  help: string,
  labelNames: readonly Label[],
  fill: (gauge: Gauge<Label>, reading: Reading) => void,
) => void;

/**
 * Shows the state of streams as the database has it, read when the page is asked for: right after any restart, and the
 * same on every orchestrator. Without the database `errata_database_up` is 0 and the others are absent.
 */
export function exportStreamMetrics(registry: Registry, { store, limit }: StreamMetricsOptions): void {
  const known = new Map<string, EvaluationFigures>();

  async function evaluations(): Promise<Map<string, EvaluationFigures>> {
    const newest = await store.newestEvaluations();
    const current = new Set(newest.values());
    for (const id of known.keys()) if (!current.has(id)) known.delete(id);
    const missing = [...current].filter((id) => !known.has(id));
    if (missing.length > 0) for (const [id, figures] of await store.evaluationFigures(missing)) known.set(id, figures);
    const found = [...newest].flatMap(([streamId, id]) => {
      const figures = known.get(id);
      return figures ? [[streamId, figures] as const] : [];
    });
    return new Map(found);
  }

  /** A stream's forecast changes with its rounds alone. */
  const foreseen = new Map<string, { readonly key: string; readonly found: readonly Forecast[] }>();

  async function forecasts(
    streams: readonly StreamFigures[],
    probes: readonly ProbeFigures[],
  ): Promise<Map<string, readonly Forecast[]>> {
    const shown = streams.slice(0, limit);
    for (const id of foreseen.keys()) if (!shown.some((stream) => stream.streamId === id)) foreseen.delete(id);
    for (const { streamId, head } of shown) {
      const round = probes.find((one) => one.streamId === streamId);
      if (round === undefined || round.seq === 0) continue;
      const key = `${head}/${round.seq}`;
      if (foreseen.get(streamId)?.key !== key) foreseen.set(streamId, { key, found: await store.forecasts(streamId) });
    }
    return new Map([...foreseen].map(([id, { found }]) => [id, found]));
  }

  const read = sharedReading(async (): Promise<Reading> => {
    const [streams, evaluated, storage, probes] = await Promise.all([
      store.streamFigures(),
      evaluations(),
      store.storageBytes(),
      store.probeFigures(),
    ]);
    return { streams, evaluations: evaluated, storage, probes, forecasts: await forecasts(streams, probes) };
  });

  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    fill: (gauge: Gauge<Label>, reading: Reading) => void,
  ): void => {
    new Gauge<Label>({
      name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        const reading = await read();
        this.reset();
        if (reading) fill(this, reading);
        // Without labels a reset gauge shows 0; no value is what is known then.
        else if (labelNames.length === 0) this.remove();
      },
    });
  };

  new Gauge({
    name: 'errata_database_up',
    help: 'Whether the database answered this process (1) or not (0)',
    registers: [registry],
    async collect() {
      this.set((await read()) ? 1 : 0);
    },
  });
  gauge('errata_streams', 'Streams by status', ['status'], (self, { streams }) => {
    for (const status of statuses) self.set({ status }, streams.filter((stream) => stream.status === status).length);
  });
  gauge('errata_stream_status', '1 for the status that a stream has', ['stream', 'status'], (self, { streams }) => {
    for (const { name, status } of streams.slice(0, limit))
      for (const one of statuses) self.set({ stream: name, status: one }, status === one ? 1 : 0);
  });
  gauge('errata_stream_head', 'Position of the head in the log', ['stream'], (self, { streams }) => {
    for (const { name, head } of streams.slice(0, limit)) self.set({ stream: name }, head);
  });
  gauge('errata_queue_edits', 'Edits not written yet, by status', ['stream', 'status'], (self, { streams }) => {
    for (const { name, queued, resolved } of withOthers(streams, limit)) {
      self.set({ stream: name, status: 'queued' }, queued);
      self.set({ stream: name, status: 'resolved' }, resolved);
    }
  });
  gauge('errata_queue_oldest_seconds', 'Age of the edit that waits longest', ['stream'], (self, { streams }) => {
    for (const { name, oldestQueuedSeconds } of withOthers(streams, limit))
      self.set({ stream: name }, oldestQueuedSeconds);
  });
  gauge('errata_log_bytes', 'Size of the log on disk, indexes included', [], (self, { storage }) =>
    self.set(storage.log),
  );
  gauge('errata_database_bytes', 'Size of the database on disk', [], (self, { storage }) => self.set(storage.database));
  for (const [field, name, help] of driftGauges)
    gauge(name, help, ['stream', 'layer'], (self, { streams }) => {
      for (const stream of streams.slice(0, limit))
        for (const layer of stream.drift) {
          const value = layer[field];
          if (value !== undefined) self.set({ stream: stream.name, layer: String(layer.layer) }, value);
        }
    });
  for (const [field, name, help] of evaluationGauges)
    gauge(name, `${help}, at the newest evaluation`, ['stream'], (self, reading) => {
      for (const { streamId, name: stream } of reading.streams.slice(0, limit)) {
        const value = reading.evaluations.get(streamId)?.[field] ?? null;
        if (value !== null) self.set({ stream }, value);
      }
    });
  exportProbeMetrics(gauge, limit);
}

/** The streams up to the limit and, where there are more, one that stands for the rest. */
function withOthers(streams: readonly StreamFigures[], limit: number) {
  const rest = streams.slice(limit);
  if (rest.length === 0) return streams;
  const sum = (of: (stream: StreamFigures) => number) => rest.reduce((total, stream) => total + of(stream), 0);
  const others = {
    name: otherStreams,
    queued: sum((stream) => stream.queued),
    resolved: sum((stream) => stream.resolved),
    oldestQueuedSeconds: Math.max(...rest.map((stream) => stream.oldestQueuedSeconds)),
  };
  return [...streams.slice(0, limit), others];
}
