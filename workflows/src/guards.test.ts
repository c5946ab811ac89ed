import type { GuardAction, GuardReading } from '@errata/contracts';
import { expect, test } from 'vitest';
import { judge, mostTakenBack, noMemory } from './guards.js';

const reading = (action: GuardAction, value: number, over: Partial<GuardReading> = {}): GuardReading => ({
  budget: 'divergence',
  side: 'above',
  value,
  limit: 0.25,
  action,
  seq: 3,
  ...over,
});
const look = (readings: GuardReading[], memory = noMemory, removal = false) => judge({ readings, removal }, memory);

test('nothing is done within the limits, on either side', () => {
  const retention = reading('rollback', 0.95, { budget: 'retention', side: 'below', limit: 0.9 });
  expect(look([reading('rollback', 0.25), retention])).toEqual({ verdict: null, memory: noMemory });
  expect(look([{ ...retention, value: 0.89 }]).verdict?.action).toBe('rollback');
});

test('the strongest action of the budgets that are exceeded is taken', () => {
  const trips = [
    reading('warn', 1),
    reading('quarantine', 1, { budget: 'abilityLoss' }),
    reading('pause', 1, { budget: 'boundShare' }),
  ];
  const { verdict, memory } = look(trips);
  expect(verdict).toEqual({ action: 'quarantine', trips, pause: false });
  expect(memory).toEqual({ exceeded: [], takenBack: 1 });
});

test('a warning is given once, and again after the budget has been kept in between', () => {
  const first = look([reading('warn', 1)]);
  expect(first.verdict?.action).toBe('warn');
  const second = look([reading('warn', 1)], first.memory);
  expect(second.verdict).toBeNull();
  // Not measured in between: still the same warning.
  expect(look([reading('warn', 1)], look([], second.memory).memory).verdict).toBeNull();
  const third = look([reading('warn', 0.1)], second.memory);
  expect(third.memory.exceeded).toEqual([]);
  expect(look([reading('warn', 1)], third.memory).verdict?.action).toBe('warn');
});

test('what takes edits out is never undone: the stream is paused', () => {
  for (const action of ['quarantine', 'rollback'] as const)
    expect(look([reading(action, 1)], noMemory, true).verdict).toMatchObject({ action: 'pause', pause: true });
});

test('when one batch after the other is taken back, the stream is paused as well', () => {
  let memory = noMemory;
  const pauses = Array.from({ length: mostTakenBack + 1 }, () => {
    const found = look([reading('quarantine', 1)], memory);
    memory = found.memory;
    return found.verdict?.pause;
  });
  expect(pauses).toEqual([false, false, true, false]);
  expect(look([reading('quarantine', 0.1)], { exceeded: [], takenBack: 2 }).memory.takenBack).toBe(0);
});
