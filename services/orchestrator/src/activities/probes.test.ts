import type { CallLimits, ModelRuntime } from '@errata/rpc';
import { expect, test } from 'vitest';
import { answerLength, generateBySize, says, shown } from './probes.js';

test.each([
  [' Bremen, Germany.', 'Bremen', true],
  [' Bremen', 'Bremen', true],
  [' Bremerhaven', 'Bremen', false],
  [' Bremens', 'Bremen', false],
  [' $5.99 and it includes', '$5', false],
  [' $5. It includes', '$5', true],
  [' 7:30 am', '7', false],
  [' 30 days of purchase', '30 days', true],
  [' Zürich', 'Zür', false],
  [' the first line', 'the first line\nand a second', true],
  [' another', 'Bremen', false],
])('%j says %j: %s', (answer, target, expected) => {
  expect(says(answer, target)).toBe(expected);
});

test('a subject may hold what looks like a replacement pattern', () => {
  expect(shown({ prompt: 'The head office of {} is in', subject: 'A$&B' })).toBe('The head office of A$&B is in');
  expect(shown({ prompt: 'As it is', subject: null })).toBe('As it is');
});

test('answers are long enough to see how they go on', () => {
  expect(answerLength(1)).toBe(8);
  expect(answerLength(20)).toBe(23);
});

test('prompts of one length travel together and come back in order', async () => {
  const calls: string[][] = [];
  const runtime: Pick<ModelRuntime, 'generate'> = {
    async generate({ prompts, maxTokens }) {
      calls.push(prompts);
      return { texts: prompts.map((prompt) => `${prompt}${maxTokens}`) };
    },
  };
  const items = [
    { prompt: 'a', tokens: 2 },
    { prompt: 'b', tokens: 1 },
    { prompt: 'c', tokens: 2 },
  ];
  const limits: CallLimits = { timeoutMs: 1000 };
  expect(await generateBySize(runtime, { streamId: 's', seq: 0, staged: [] }, items, limits)).toEqual([
    'a2',
    'b1',
    'c2',
  ]);
  expect(calls).toEqual([['a', 'c'], ['b']]);
});
