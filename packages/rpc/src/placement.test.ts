import { ErrataError } from '@errata/contracts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { placeShard } from './index.js';

type Worker = { readonly address: string };

const workersOf = (count: number): Worker[] =>
  Array.from({ length: count }, (_, i) => ({ address: `10.0.0.${i}:7442` }));

/** A fleet, which of it is down (at least one is not), and a shard. */
const setting = fc
  .record({
    stream: fc.uuid(),
    count: fc.integer({ min: 1, max: 9 }),
    layers: fc.integer({ min: 1, max: 12 }),
    rowShards: fc.integer({ min: 1, max: 12 }),
    downBits: fc.integer({ min: 0, max: 511 }),
  })
  .map(({ downBits, ...rest }) => {
    const workers = workersOf(rest.count);
    const down = new Set(workers.filter((_, i) => (downBits >> i) & 1));
    if (down.size === workers.length) down.delete(workers[0]);
    return { ...rest, workers, down };
  });

const place = (stream: string, layer: number, workers: readonly Worker[], down: ReadonlySet<Worker>, rowShards = 1) =>
  placeShard(stream, layer, workers, (worker) => !down.has(worker), rowShards);

test('depends on nothing but the fleet, whatever its order, and uses live workers alone', () => {
  fc.assert(
    fc.property(setting, fc.nat(), ({ stream, layers, rowShards, workers, down }, turn) => {
      const turned = [...workers.slice(turn % workers.length), ...workers.slice(0, turn % workers.length)];
      for (let layer = 0; layer < layers; layer++) {
        const placed = place(stream, layer, workers, down, rowShards);
        expect(placed).toHaveLength(rowShards);
        expect(placed.filter((worker) => down.has(worker))).toEqual([]);
        expect(place(stream, layer, turned, down, rowShards)).toEqual(placed);
      }
    }),
  );
});

test('losing one worker moves its shards and no others; its return brings them back', () => {
  fc.assert(
    fc.property(setting, fc.nat(), ({ stream, layers, rowShards, workers }, pick) => {
      fc.pre(workers.length > 1);
      const lost = workers[pick % workers.length];
      for (let layer = 0; layer < layers; layer++) {
        const before = place(stream, layer, workers, new Set(), rowShards);
        const after = place(stream, layer, workers, new Set([lost]), rowShards);
        before.forEach((worker, shard) => {
          if (worker === lost) expect(after[shard]).not.toBe(lost);
          else expect(after[shard]).toBe(worker);
        });
      }
    }),
  );
});

test('whole layers: with some workers down, losing one more moves its shards and no others', () => {
  fc.assert(
    fc.property(setting, fc.nat(), ({ stream, layers, workers, down }, pick) => {
      const live = workers.filter((worker) => !down.has(worker));
      fc.pre(live.length > 1);
      const lost = live[pick % live.length];
      for (let layer = 0; layer < layers; layer++) {
        const [before] = place(stream, layer, workers, down);
        const [after] = place(stream, layer, workers, new Set([...down, lost]));
        if (before === lost) expect(after).not.toBe(lost);
        else expect(after).toBe(before);
      }
    }),
  );
});

test('shards of a layer lie on as many workers as there are, evenly where none is down', () => {
  fc.assert(
    fc.property(setting, ({ stream, layers, rowShards, workers, down }) => {
      const live = workers.length - down.size;
      for (let layer = 0; layer < layers; layer++) {
        const placed = place(stream, layer, workers, down, rowShards);
        expect(new Set(placed).size).toBe(Math.min(rowShards, live));
      }
      const counts = new Map(workers.map((worker) => [worker, 0]));
      for (let layer = 0; layer < layers; layer++) {
        const [owner] = place(stream, layer, workers, new Set());
        counts.set(owner, (counts.get(owner) ?? 0) + 1);
      }
      expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
    }),
  );
});

test('the shards of a lost worker spread over all that are left', () => {
  const workers = workersOf(5);
  const [lost, ...left] = workers;
  const counts = new Map(left.map((worker) => [worker, 0]));
  for (let stream = 0; stream < 400; stream++)
    for (let layer = 0; layer < 5; layer++) {
      if (placeShard(`str_${stream}`, layer, workers)[0] !== lost) continue;
      const [heir] = place(`str_${stream}`, layer, workers, new Set([lost]));
      counts.set(heir, (counts.get(heir) ?? 0) + 1);
    }
  const shares = [...counts.values()];
  expect(shares.reduce((a, b) => a + b, 0)).toBe(400);
  // 100 are expected of each, with a standard deviation of 9.
  for (const share of shares) expect(Math.abs(share - 100)).toBeLessThan(45);
});

test('says that no worker answers, or that there is none', () => {
  const workers = workersOf(2);
  const none = () => place('str_1', 0, workers, new Set(workers));
  expect(none).toThrow(new ErrataError('NOT_READY', 'none of the shard workers answers: 10.0.0.0:7442, 10.0.0.1:7442'));
  expect(() => placeShard('str_1', 0, [])).toThrow(/SHARD_WORKERS/);
});
