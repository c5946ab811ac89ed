import type { StreamFigures } from '@errata/store';
import { createRegistry } from '@errata/telemetry';
import { expect, test } from 'vitest';
import { exportStreamMetrics, type StreamMetricsOptions } from './stream-metrics.js';

const layer = {
  layer: 6,
  rank: 4,
  deltaNorm: 2,
  deltaBound: 8,
  boundShare: 0.25,
  anchorDeviation: 0.5,
  effectiveRank: 3,
  spectralNorm: 1,
  conditionEstimate: 100,
  information: 7,
};

const stream = (name: string, changes: Partial<StreamFigures> = {}): StreamFigures => ({
  streamId: `str_${name}`,
  name,
  status: 'ready',
  head: 5,
  queued: 2,
  resolved: 1,
  oldestQueuedSeconds: 30,
  drift: [layer],
  ...changes,
});

async function pageOf(store: Partial<StreamMetricsOptions['store']>, limit = 10): Promise<string[]> {
  const registry = createRegistry('orchestrator');
  const streams = [stream('a'), stream('b', { status: 'failed', oldestQueuedSeconds: 90 }), stream('c', { drift: [] })];
  exportStreamMetrics(registry, {
    limit,
    store: {
      streamFigures: async () => streams,
      newestEvaluations: async () => new Map(),
      evaluationFigures: async () => new Map(),
      storageBytes: async () => ({ log: 1000, database: 5000 }),
      probeFigures: async () => [],
      forecasts: async () => [],
      ...store,
    },
  });
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('errata_'));
  return lines.map((line) => line.replace(/,?service="orchestrator"/, '').replace('{}', ''));
}

test('shows status, head, queue and drift of every stream, without a label for any edit', async () => {
  const lines = await pageOf({});
  expect(lines).toContain('errata_streams{status="failed"} 1');
  expect(lines).toContain('errata_stream_status{stream="b",status="failed"} 1');
  expect(lines).toContain('errata_stream_head{stream="a"} 5');
  expect(lines).toContain('errata_queue_oldest_seconds{stream="b"} 90');
  expect(lines).toContain('errata_drift_bound_share{stream="a",layer="6"} 0.25');
  expect(lines).toContain('errata_log_bytes 1000');
  expect(lines.filter((line) => line.startsWith('errata_drift_delta_norm'))).toHaveLength(2);
});

test('streams beyond the limit are added up, so that the number of series is bounded and no queue is hidden', async () => {
  const lines = await pageOf({}, 1);
  const names = new Set(lines.map((line) => /stream="([^"]*)"/.exec(line)?.[1]).filter(Boolean));
  expect(names).toEqual(new Set(['a', '(others)']));
  expect(lines).toContain('errata_queue_edits{stream="(others)",status="queued"} 4');
  expect(lines).toContain('errata_queue_oldest_seconds{stream="(others)"} 90');
});

test('an evaluation is read once and shown until a newer one is done', async () => {
  const asked: string[][] = [];
  const figures = {
    rewriteAfter: 0.9,
    paraphraseAfter: null,
    neighboursKept: 1,
    perplexityBefore: 20,
    perplexityAfter: 22,
  };
  const lines = await pageOf({
    newestEvaluations: async () => new Map([['str_a', 'evl_1']]),
    evaluationFigures: async (ids) => {
      asked.push([...ids]);
      return new Map([['evl_1', figures]]);
    },
  });
  expect(asked).toEqual([['evl_1']]);
  expect(lines).toContain('errata_evaluation_perplexity{stream="a"} 22');
  expect(lines.some((line) => line.startsWith('errata_evaluation_paraphrase_ratio{'))).toBe(false);
});

test('shows the newest round, its budgets and the forecast, read anew only where there was another round', async () => {
  let asked = 0;
  const reading = { budget: 'divergence', side: 'above', limit: 0.15, action: 'warn', seq: 5 } as const;
  const lines = await pageOf({
    probeFigures: async () => [
      {
        streamId: 'str_a',
        seq: 5,
        results: {
          heldOut: { seq: 5, tokens: 512, perplexity: 22, basePerplexity: 20, divergence: 0.2 },
          retention: { seq: 4, asked: 4, held: 3, byAge: [{ age: '10-99', asked: 4, held: 3 }] },
          canaries: { seq: 5, asked: 2, held: 1, lost: ['capital'] },
        },
        readings: [{ ...reading, value: 0.2 }],
        costShare: 0.08,
        quarantined: 3,
      },
    ],
    forecasts: async () => {
      asked++;
      const known = { value: 0.1, slope: 0.1, points: 9 };
      return [
        { ...known, budget: 'retention', limit: 0.9, editsLeft: 120, reason: null },
        { ...known, budget: 'boundShare', limit: 0.9, editsLeft: null, reason: 'flat' },
      ];
    },
  });
  expect(asked).toBe(1);
  expect(lines).toContain('errata_probe_divergence_nats{stream="a"} 0.2');
  expect(lines).toContain('errata_probe_retention_ratio{stream="a",age="10-99"} 0.75');
  expect(lines).toContain('errata_probe_canaries_lost{stream="a"} 1');
  expect(lines).toContain('errata_probe_cost_ratio{stream="a"} 0.08');
  expect(lines).toContain('errata_quarantine_edits{stream="a"} 3');
  expect(lines).toContain('errata_guard_exceeded{stream="a",budget="divergence"} 1');
  expect(lines).toContain('errata_guard_limit{stream="a",budget="divergence"} 0.15');
  expect(lines.filter((line) => line.startsWith('errata_forecast_edits_left'))).toEqual([
    'errata_forecast_edits_left{stream="a",budget="retention"} 120',
  ]);
  expect(lines.some((line) => line.startsWith('errata_probe_ability_ratio{'))).toBe(false);
});

test('without the database the page says so and shows nothing out of date', async () => {
  const lines = await pageOf({ streamFigures: () => Promise.reject(new Error('gone')) });
  expect(lines).toEqual(['errata_database_up 0']);
});
