import { type Batch, defaultGuards, type LayerDrift, type ProbeRound, type Stream } from '@errata/contracts';
import { expect, test } from 'vitest';
import { type DriftReport, driftPage } from './drift-page.js';

const streamId = `str_${'0'.repeat(32)}`;
const layer: LayerDrift = {
  layer: 6,
  rank: 2,
  deltaNorm: 3,
  deltaBound: 9,
  boundShare: 1 / 3,
  anchorDeviation: 1,
  effectiveRank: 2,
  spectralNorm: 2,
  conditionEstimate: 10,
  information: 4,
  capacityLeft: 0.9,
};
const batch = (seq: number, onHead: boolean) =>
  ({
    streamId,
    seq,
    parentSeq: seq - 1,
    kind: 'apply',
    edits: 2,
    onHead,
    drift: [{ ...layer, deltaNorm: 3 + seq }],
  }) as unknown as Batch;
const round = (seq: number, onHead: boolean, divergence: number): ProbeRound => ({
  streamId,
  seq,
  measured: ['heldOut', 'retention'],
  results: {
    heldOut: { seq, tokens: 256, perplexity: 36, basePerplexity: 35, divergence },
    retention: { seq, asked: 4, held: 3, byAge: [{ age: '0-9', asked: 4, held: 3 }] },
  },
  seconds: 1,
  costShare: 0.08,
  tripped: !onHead,
  onHead,
  edits: 2 * seq,
  at: '2026-01-01T00:00:00.000Z',
});

const full: DriftReport = {
  stream: {
    id: streamId,
    name: 'facts <b>&',
    modelName: 'tiny',
    config: { layers: [6] },
    head: 2,
    headHash: 'f'.repeat(64),
    status: 'ready',
    counts: { verified: 4, quarantined: 2 },
  } as unknown as Stream,
  drift: {
    seq: 2,
    layers: [layer],
    costShare: 0.08,
    readings: [{ budget: 'retention', side: 'below', value: 0.75, limit: 0.9, action: 'warn', seq: 2 }],
    forecast: [
      { budget: 'retention', value: 0.75, limit: 0.9, slope: -0.01, editsLeft: 0, reason: 'reached', points: 6 },
      { budget: 'capacityLeft', value: 0.9, limit: 0.1, slope: -0.05, editsLeft: 16, reason: null, points: 6 },
    ],
  },
  guards: { streamId, settings: defaultGuards, readings: [] },
  batches: [batch(1, true), batch(2, true), batch(3, false)],
  rounds: [round(1, true, 0.01), round(2, true, 0.02), round(3, false, 0.4)],
  events: [
    {
      id: 1,
      kind: 'guard',
      seq: 2,
      detail: {
        batch: 3,
        head: 2,
        action: 'rollback',
        quarantined: 2,
        paused: false,
        why: 'divergence is 0.4',
        next: 'look',
      },
      at: '2026-01-01T00:00:00.000Z',
    },
  ],
  at: '2026-01-01T00:00:00.000Z',
};

test('the page shows budgets, guards, probes and layers, in light and dark', () => {
  const page = driftPage(full);
  expect(page).toContain('Drift of facts &lt;b&gt;&amp;');
  expect(page).toContain('16 (capacityLeft)');
  expect(page).toMatch(/class="bad">retention</);
  expect(page).toContain('went back from 3 to 2, 2 edits in quarantine');
  for (const title of [
    'Divergence',
    'Earlier edits still answered',
    'Norm of the change',
    'Freedom left',
    'Cost of measuring',
  ])
    expect(page, title).toContain(`<title>${title}</title>`);
  expect(page).toContain('divergence, taken back');
  expect(page).toContain('>rollback</text>');
  expect(page).not.toContain('General knowledge kept');
  expect(page).toContain('prefers-color-scheme:dark');
});

test('it asks for nothing: no script, no address but those of the names of SVG', () => {
  const page = driftPage(full);
  expect(page).not.toMatch(/<script|<img|<link|@import|url\(|href=|src=/i);
  expect([...page.matchAll(/https?:[^"' ]*/g)].every(([address]) => address === 'http://www.w3.org/2000/svg')).toBe(
    true,
  );
  expect(page).toContain(`default-src 'none'`);
});

test('a stream without a batch has a page too', () => {
  const empty = { seq: 0, layers: [] };
  const page = driftPage({ ...full, drift: empty, batches: [], rounds: [], events: [] });
  expect(page).toContain('Nothing was measured yet.');
  expect(page).toContain('Nothing: no budget was exceeded.');
});
