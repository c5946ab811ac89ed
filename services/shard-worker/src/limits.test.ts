import { limits } from '@errata/contracts';
import { WEIGHT_LIMIT } from '@errata/rls';
import { expect, it } from 'vitest';

it('weighs columns up to what the API lets through', () => {
  expect(WEIGHT_LIMIT).toBe(limits.columnWeight);
});
