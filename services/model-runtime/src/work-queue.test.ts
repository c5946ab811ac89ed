import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { pauseFor, WorkQueue } from './work-queue.js';

const { signal } = new AbortController();

describe('work queue', () => {
  it('runs work one after the other in order of arrival, also after a failure', async () => {
    const queue = new WorkQueue();
    const log: string[] = [];
    const work = (name: string) =>
      queue.run(signal, async (turn) => {
        log.push(`${name} begins`);
        await turn.pass();
        await sleep(1);
        log.push(`${name} ends`);
        if (name === 'b') throw new Error('b failed');
      });
    const results = await Promise.allSettled([work('a'), work('b'), work('c')]);
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(queue.waiting).toBe(0);
  });

  it('lets brief work take turns with each other and with the work in progress, round and round', async () => {
    const queue = new WorkQueue();
    const log: string[] = [];
    const steps = (name: string, count: number) => async (turn: { pass(): Promise<void> }) => {
      for (let i = 0; i < count; i++) {
        log.push(name);
        await turn.pass();
      }
    };
    await Promise.all([
      queue.run(signal, steps('W', 4)),
      queue.run(signal, steps('w', 2)),
      queue.runBriefly(signal, steps('1', 3)),
      queue.runBriefly(signal, steps('2', 5)),
    ]);
    const turns = log.join('');
    expect(turns.replaceAll(/[12]/g, '')).toBe('WWWWww');
    expect(turns.replaceAll(/[^1]/g, '')).toHaveLength(3);
    expect(turns.replaceAll(/[^2]/g, '')).toHaveLength(5);
    // While three want turns, nobody has a second one before the others had theirs.
    for (let at = 0; at < 9; at += 3) expect([...turns.slice(at, at + 3)].sort().join('')).toBe('12W');
  });

  it('never lets two run at once', async () => {
    const queue = new WorkQueue();
    let running = 0;
    let most = 0;
    const work = async (turn: { pass(): Promise<void> }) => {
      for (let i = 0; i < 5; i++) {
        most = Math.max(most, ++running);
        await sleep(0);
        running--;
        await turn.pass();
      }
    };
    const runs = Array.from({ length: 12 }, (_, i) =>
      i % 2 ? queue.run(signal, work) : queue.runBriefly(signal, work),
    );
    await Promise.all(runs);
    expect(most).toBe(1);
  });

  it('does not begin for a caller that has gone, and goes on with the next', async () => {
    const queue = new WorkQueue();
    const gone = new AbortController();
    const ran: string[] = [];
    const first = queue.run(signal, async () => {
      await sleep(1);
      expect(queue.waiting).toBe(2);
      gone.abort(new Error('gone'));
    });
    await sleep(0);
    const second = queue.run(gone.signal, async () => void ran.push('second'));
    const third = queue.runBriefly(signal, async () => void ran.push('third'));
    await Promise.all([first, expect(second).rejects.toThrow('gone'), third]);
    expect(ran).toEqual(['third']);
  });

  it('a pause ends the work of a caller that has gone', async () => {
    const gone = new AbortController();
    const pause = pauseFor(gone.signal);
    await pause();
    gone.abort(new Error('gone'));
    await expect(pause()).rejects.toThrow('gone');
  });
});
