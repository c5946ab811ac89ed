import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { repository } from './files.js';
import { shapes, sizesOf, sizingTable } from './sizing.js';

test('a layer of 14,336 × 4,096 takes what docs/operating.md says', () => {
  const llama = shapes.find((shape) => shape.name === 'Llama-3-8B');
  const one = sizesOf({ ...llama!, layers: 1 });
  expect(one.history / 1000).toBe(163_840);
  expect(one.shared + one.opening).toBeCloseTo(1.64e9, -7);
});

test('the table of docs/deploying.md is the computed one', () => {
  expect(readFileSync(new URL('docs/deploying.md', repository), 'utf8')).toContain(sizingTable());
});
