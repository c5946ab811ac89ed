import { defaultGuards, type ProbeKind, withGuards } from '@errata/contracts';
import { expect, test } from 'vitest';
import { guarded, mostRoundsWaited, ProbeBudget, turns } from './budget.js';

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
  const shares: number[] = [];
  for (let seq = 1; seq <= batches; seq++) {
    editSeconds += batchSeconds;
    probeSeconds += driftSeconds;
    const results = Object.fromEntries(
      [...last].map(([kind, at]) => [kind, { seq: at, asked: 16, held: 16 }]),
    ) as never;
    const probes = { ...defaultGuards.probes, costShare: share };
    const budget = new ProbeBudget(probes, { editSeconds, batchSeconds, probeSeconds, costs, results });
    for (const kind of turns(results)) {
      if (!budget.covers(kind)) break;
      budget.spend(kind, real[kind]);
      probeSeconds += real[kind];
      costs[kind] = real[kind];
      gaps.set(kind, Math.max(gaps.get(kind) ?? 0, seq - (last.get(kind) ?? 0)));
      last.set(kind, seq);
    }
    shares.push(probeSeconds / editSeconds);
  }
  return { share: probeSeconds / editSeconds, shares, gaps, last };
}

test('costs stay within the share, and every kind has its turn, the dear ones too', () => {
  // As SmolLM2 took them on a busy machine; a whole round costs 12.6 s, of which a batch earns 1.7.
  const real = { canaries: 0.1, retention: 0.4, neighbours: 1.2, paraphrases: 1.5, ability: 3.6, heldOut: 5.8 };
  const { share, shares, gaps, last } = run(200, 20, 0.1, 0.3, real);
  // After every batch, those of the first measurements too: what was never measured is reckoned by its prompts.
  expect(Math.max(...shares)).toBeLessThanOrEqual(0.1);
  expect(share).toBeGreaterThan(0.08);
  for (const kind of Object.keys(real) as ProbeKind[]) {
    expect(gaps.get(kind), kind).toBeLessThanOrEqual(15);
    expect(last.get(kind), kind).toBeGreaterThan(185);
  }
});

test('with plenty everything is measured every time, with nothing nothing is', () => {
  const real = { canaries: 0.01, retention: 0.01, neighbours: 0.02, paraphrases: 0.02, ability: 0.06, heldOut: 0.1 };
  expect([...run(20, 10, 0.1, 0.1, real).gaps.values()]).toEqual(new Array(6).fill(1));
  expect(run(20, 10, 0, 0.1, real).last.size).toBe(0);
  expect(run(20, 1, 0.1, 0.5, real).last.size).toBe(0);
});

test('a kind that grows dear waits until its new cost is earned; the share is exceeded by the surprise alone', () => {
  const ledger = { editSeconds: 100, batchSeconds: 10, probeSeconds: 8, results: {} };
  const budget = new ProbeBudget(defaultGuards.probes, { ...ledger, costs: { retention: 1.7, neighbours: 1.5 } });
  expect(budget.left).toBeCloseTo(2);
  expect(budget.covers('retention')).toBe(false);
  expect(budget.covers('neighbours')).toBe(true);
  budget.spend('neighbours', 3);
  expect(budget.left).toBeCloseTo(-1);
  expect(budget.covers('neighbours')).toBe(false);
});

test('what an acting budget reads goes first, out of what is left, and in debt after some rounds', () => {
  const settings = withGuards(defaultGuards, {
    budgets: { divergence: { action: 'rollback' }, retention: { action: 'pause' }, boundShare: { action: 'pause' } },
  });
  expect([...guarded(settings)].sort()).toEqual(['heldOut', 'retention']);
  const ledger = { editSeconds: 100, batchSeconds: 10, costs: { retention: 1 } };
  const results = { retention: { seq: 3, asked: 1, held: 1, byAge: [] } };
  expect(turns(results, guarded(settings))).toEqual([
    ...['heldOut', 'retention'],
    ...['canaries', 'neighbours', 'paraphrases', 'ability'],
  ]);
  const left = new ProbeBudget(settings.probes, { ...ledger, probeSeconds: 9.9, results });
  expect(left.covers('heldOut')).toBe(false);
  expect(left.owes(1)).toBe(true);
  const debt = new ProbeBudget(settings.probes, { ...ledger, probeSeconds: 11, results });
  expect(debt.owes(mostRoundsWaited - 1)).toBe(false);
  expect(debt.owes(mostRoundsWaited)).toBe(true);
  expect(new ProbeBudget({ ...settings.probes, costShare: 0 }, { ...ledger, probeSeconds: 0, results }).owes(99)).toBe(
    false,
  );
});
