import type { LayerDrift } from '@errata/contracts';
import { expect, test } from 'vitest';
import { hasJumped } from './jump.js';

const layer = (rank: number, deltaNorm: number, anchorDeviation = deltaNorm, index = 6) =>
  ({ layer: index, rank, deltaNorm, anchorDeviation }) as LayerDrift;

test('edits that are alike move a layer as the root of their number: no jump, however many there are', () => {
  for (let rank = 4; rank < 1000; rank += 10)
    expect(hasJumped([layer(rank, Math.sqrt(rank))], [layer(rank + 10, Math.sqrt(rank + 10))])).toBe(false);
});

test('a batch that moves any layer by more is one, in either figure', () => {
  const calm = layer(18, 80, 145, 7);
  expect(hasJumped([calm, layer(18, 80)], [calm, layer(20, 170)])).toBe(true);
  expect(hasJumped([layer(18, 80, 145)], [layer(20, 84, 314)])).toBe(true);
  expect(hasJumped([layer(18, 80, 145)], [layer(20, 84, 153)])).toBe(false);
});

test('the first edits are compared with nothing', () => {
  expect(hasJumped([], [layer(2, 30)])).toBe(false);
  expect(hasJumped([layer(2, 3)], [layer(4, 30)])).toBe(false);
});
