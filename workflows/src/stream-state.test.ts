import { expect, test } from 'vitest';
import { historyLimit, StreamState } from './stream-state.js';

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

test('a new stream looks for work at once, a drained one waits for a wake-up', () => {
  const state = new StreamState();
  expect(state.runnable).toBe(true);
  state.drained();
  expect(state.runnable).toBe(false);
  state.wake();
  expect(state.runnable).toBe(true);
});

test('a wake-up that comes while the queue is looked at is not lost', () => {
  const state = new StreamState();
  state.drained();
  state.wake();
  expect(state.runnable).toBe(true);
});

test('pause holds batches until resume, and resume clears a failure', () => {
  const state = new StreamState();
  state.pause();
  expect(state.runnable).toBe(false);
  state.resume();
  expect(state.runnable).toBe(true);
  state.fail();
  expect(state.runnable).toBe(false);
  state.resume();
  expect(state.runnable).toBe(true);
});

test('while it is held a stream looks only for what was asked for, and for no expiry', () => {
  const state = new StreamState();
  state.expiresNext('2026-01-01T00:00:01Z');
  expect(state.untilExpiry(Date.parse('2026-01-01T00:00:00Z'))).toBe(1000);
  expect(state.untilExpiry(Date.parse('2026-01-02T00:00:00Z'))).toBe(1);
  expect(state.untilExpiry(Date.parse('1026-01-01T00:00:00Z'))).toBe(30 * 24 * 3_600_000);
  state.pause();
  expect(state.untilExpiry(0)).toBeUndefined();
  expect([state.hasWork, state.runnable, state.held]).toEqual([true, false, true]);
  state.drained();
  expect(state.hasWork).toBe(false);
  state.wake();
  expect(state.hasWork).toBe(true);
  state.drained();
  state.resume();
  expect(state.hasWork).toBe(true);
  state.expiresNext(null);
  expect(state.untilExpiry(0)).toBeUndefined();
});

test('what is carried over survives JSON and a new run', () => {
  const state = new StreamState();
  state.markPrepared();
  state.pause();
  state.committed();
  state.committed();
  state.guardMemory = { exceeded: ['divergence'], takenBack: 1 };
  const next = new StreamState(JSON.parse(JSON.stringify(state.carry())));
  expect(next.carry()).toEqual({
    paused: true,
    failed: false,
    prepared: true,
    batches: 2,
    guards: { exceeded: ['divergence'], takenBack: 1 },
  });
  expect(next.isPrepared).toBe(true);
  expect(next.runnable).toBe(false);
});

test('pieces of work never overlap, keep their order, and a failing one does not stop the next', async () => {
  const state = new StreamState();
  const trace: string[] = [];
  const work =
    (name: string, fails = false) =>
    async () => {
      trace.push(`${name} starts in ${state.snapshot().phase}`);
      await later();
      trace.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const results = await Promise.allSettled([
    state.exclusive('batch', work('a')),
    state.exclusive('control', work('b', true)),
    state.exclusive('batch', work('c')),
  ]);
  expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(trace).toEqual([
    'a starts in batch',
    'a ends',
    'b starts in control',
    'b ends',
    'c starts in batch',
    'c ends',
  ]);
  expect(state.snapshot().phase).toBe('idle');
});

test('hands over at the history limit or when Temporal suggests it', () => {
  const state = new StreamState();
  expect(state.shouldHandOver(historyLimit - 1, false)).toBe(false);
  expect(state.shouldHandOver(historyLimit, false)).toBe(true);
  expect(state.shouldHandOver(10, true)).toBe(true);
});
