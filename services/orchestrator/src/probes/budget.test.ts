import type { ProbeKind } from '@errata/contracts';
import { expect, test } from 'vitest';
import { ProbeBudget, turns } from './budget.js';

test('the kind that has waited longest has its turn first, the cheapest of those that wait equally long', () => {
  const count = { asked: 1, held: 1 };
  expect(turns({})).toEqual(['canaries', 'retention', 'neighbours', 'paraphrases', 'ability', 'heldOut']);
  expect(
    turns({
      canaries: { seq: 4, ...count, lost: [] },
      ability: { seq: 3, ...count },
      neighbours: { seq: 4, ...count },
    }),
  ).toEqual(['retention', 'paraphrases', 'heldOut', 'ability', 'canaries', 'neighbours']);
});

/** Rounds as `probeBatch` runs them, on made-up costs: what every kind really takes, and what a batch takes. */
function run(
  batches: number,
  batchSeconds: number,
  share: number,
  driftSeconds: number,
  real: Record<ProbeKind, number>,
) {
  let [editSeconds, probeSeconds] = [0, 0];
  const costs: Partial<Record<ProbeKind, number>> = {};
  const last = new Map<ProbeKind, number>();
  const gaps = new Map<ProbeKind, number>();
  for (let seq = 1; seq <= batches; seq++) {
    editSeconds += batchSeconds;
    const budget = new ProbeBudget(share, { editSeconds, probeSeconds: probeSeconds + driftSeconds }, costs);
    probeSeconds += driftSeconds;
    const seen = Object.fromEntries([...last].map(([kind, at]) => [kind, { seq: at }]));
    for (const kind of turns(seen as never)) {
      if (!budget.covers(kind)) break;
      budget.spend(real[kind]);
      probeSeconds += real[kind];
      costs[kind] = real[kind];
      gaps.set(kind, Math.max(gaps.get(kind) ?? 0, seq - (last.get(kind) ?? 0)));
      last.set(kind, seq);
    }
  }
  return { share: probeSeconds / editSeconds, gaps, last };
}

test('costs stay within the share, and every kind has its turn, the dear ones too', () => {
  const real = { canaries: 0.1, retention: 0.5, neighbours: 0.5, paraphrases: 0.5, ability: 1, heldOut: 4 };
  const { share, gaps, last } = run(200, 10, 0.1, 0.3, real);
  expect(share).toBeLessThanOrEqual(0.1);
  expect(share).toBeGreaterThan(0.08);
  // A whole round costs 6.6 s, of which a batch earns 0.7.
  for (const kind of Object.keys(real) as ProbeKind[]) {
    expect(gaps.get(kind), kind).toBeLessThanOrEqual(15);
    expect(last.get(kind), kind).toBeGreaterThan(185);
  }
});

test('with plenty everything is measured every time, with nothing nothing is', () => {
  const real = { canaries: 0.1, retention: 0.1, neighbours: 0.1, paraphrases: 0.1, ability: 0.1, heldOut: 0.1 };
  expect([...run(20, 10, 0.1, 0.1, real).gaps.values()]).toEqual(new Array(6).fill(1));
  expect(run(20, 10, 0, 0.1, real).last.size).toBe(0);
  expect(run(20, 1, 0.1, 0.5, real).last.size).toBe(0);
});
