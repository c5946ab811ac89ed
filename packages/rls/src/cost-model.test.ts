import type { EngineProfile } from '@errata/tensor';
import { expect, it } from 'vitest';
import { chooseFoldRank, foldRankCandidates, predictBatchSeconds } from './cost-model.js';

const profile = (changes: Partial<EngineProfile> = {}): EngineProfile => ({
  precision: 'fp32',
  matmulFlops: 1e11,
  copyBytes: 1e10,
  overhead: 1e-5,
  ...changes,
});
const large = { inputs: 14336, outputs: 4096, batch: 100 };

it('charges a batch that is folded at once with its bytes or its operations, whichever take longer', () => {
  const stored = 14336 ** 2 / 2;
  const change = 14336 * 4096;
  const bytes = profile({ matmulFlops: 1e30, overhead: 0 });
  expect(predictBatchSeconds(large, bytes, 100)).toBeCloseTo((4 * 3 * (stored + change)) / 1e10, 10);
  const flops = profile({ copyBytes: 1e30, overhead: 0 });
  expect(predictBatchSeconds(large, flops, 100)).toBeCloseTo((100 * (6 * stored + 4 * change)) / 1e11, 10);
});

it('folds often where computing is dear and seldom where moving bytes is', () => {
  const host = profile({ precision: 'fp64' });
  const slow = chooseFoldRank({ ...large, batch: 1 }, profile({ copyBytes: 1e8 }), host);
  const fast = chooseFoldRank({ ...large, batch: 1 }, profile({ copyBytes: 1e12, overhead: 0 }), host);
  expect(slow).toBeGreaterThan(fast);
});

it('keeps the tail below a tenth of a square C, and below d/2', () => {
  for (const rank of foldRankCandidates(large, 4))
    if (rank > large.batch) expect(rank * (14336 + 4096) * 8).toBeLessThanOrEqual(0.1 * 14336 ** 2 * 4);
  const small = foldRankCandidates({ inputs: 64, outputs: 10, batch: 4 }, 8);
  expect(small[0]).toBe(4);
  expect(Math.max(...small)).toBe(32);
  expect(foldRankCandidates({ inputs: 64, outputs: 10, batch: 100 }, 8)).toEqual([100]);
});
