import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleStream, sql } from './testing/samples.js';
import { type PlacedSnapshot, thinnable } from './thin-snapshots.js';

const NEAR = 75e6;
let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

const lineages = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.integer({ min: 1, max: 40e6 }), fc.integer({ min: 1, max: 2e9 })),
      needed: fc.boolean(),
    }),
    {
      minLength: 1,
      maxLength: 60,
    },
  )
  .chain((steps) =>
    fc.record({ steps: fc.constant(steps), rest: fc.integer({ min: 0, max: 3e9 }), rare: fc.boolean() }),
  )
  .map(({ steps, rest, rare }) => {
    let at = 0;
    const placed = steps.map(({ gap, needed }, i) => {
      at += gap;
      return { at, needed: needed && (!rare || i % 11 === 0) };
    });
    return { placed, end: at + rest };
  });

/** Replay to a position from the nearest snapshot. */
const replay = (placed: readonly PlacedSnapshot[], to: number) =>
  to - Math.max(0, ...placed.filter(({ at }) => at <= to).map(({ at }) => at));

it('never takes what is needed, and lets no replay grow beyond its bound', () => {
  fc.assert(
    fc.property(lineages, ({ placed, end }) => {
      const gone = new Set(thinnable(placed, end));
      const kept = placed.filter((_, i) => !gone.has(i));
      expect(placed.filter(({ needed }) => needed).every((one) => kept.includes(one))).toBe(true);
      expect(kept.at(-1)).toBe(placed.at(-1));
      for (const to of [end, ...placed.flatMap(({ at }) => [at - 1, at, at + 1])]) {
        if (to > end) continue;
        const bound = Math.max(NEAR, 0.5 * (end - to));
        expect(replay(kept, to)).toBeLessThanOrEqual(Math.max(bound, replay(placed, to)));
      }
      expect(thinnable(kept, end)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

it('leaves as many as the logarithm of the log', () => {
  const placed = Array.from({ length: 10_000 }, (_, i) => ({ at: (i + 1) * NEAR, needed: false }));
  const left = placed.length - thinnable(placed, placed.length * NEAR).length;
  expect(left).toBeLessThan((2 * Math.log(placed.length)) / Math.log(1.5));
});

it('goes with the collection, and changes no position', async () => {
  const stream = await sampleStream(store, 'long');
  const { id } = stream;
  const positions = 9000;
  await sql(
    database.url,
    `INSERT INTO batches (stream_id, seq, parent_seq, kind, status, hash, committed_at)
     SELECT $1, n, n - 1, 'apply', 'committed', repeat('0', 64), now() FROM generate_series(1, $2::int) n`,
    [id, positions],
  );
  await sql(
    database.url,
    `INSERT INTO log_entries (stream_id, seq, layer, row_start, row_end, sign, d_in, d_out, columns, epoch,
       previous_hash, hash, config_hash, stats, r_diagonal, tensor_hashes, tensors, rest)
     SELECT $1, n, layer, 0, 1, 1, 1, 1, 0, 1, repeat('0', 64), repeat('0', 64), '', '{}', '', decode(repeat('00', 32), 'hex'), '', ''
     FROM generate_series(1, $2::int) n, unnest(ARRAY[3, 5]) layer`,
    [id, positions],
  );
  await sql(database.url, 'UPDATE streams SET head = $2, next_seq = $2 + 1 WHERE id = $1', [id, positions]);
  const save = (seq: number, form = 'x') =>
    store.saveSnapshot({ streamId: id, seq, kind: 'weights', form }, [
      { name: 'a', rows: 1, columns: 1, data: Float32Array.of(seq) },
    ]);
  for (let seq = 300; seq <= positions; seq += 300) await save(seq);
  await save(300, 'alone');
  const branch = await store.createBranch(id, { name: 'branch of long', seq: 700 });
  await store.rollback(id, 1300);
  await store.createCheckpoint(id, 'c');
  await store.rollback(id, positions);

  const seqs = async () => (await store.listSnapshots(id)).filter(({ form }) => form === 'x').map(({ seq }) => seq);
  const all = await seqs();
  const dry = await store.collectGarbage({ keepMs: 86_400_000, streamId: id, dryRun: true });
  expect(await seqs()).toEqual(all);
  expect(await store.collectGarbage({ keepMs: 86_400_000, streamId: id })).toEqual(dry);
  const left = await seqs();
  expect(dry).toMatchObject({ batches: 0, entries: 0, snapshots: all.length - left.length });
  expect(left.length).toBeLessThan(all.length / 2);
  for (const needed of [600, 1200, positions]) expect(left).toContain(needed);
  expect((await store.listSnapshots(id)).some(({ form }) => form === 'alone')).toBe(true);
  expect(await store.collectGarbage({ keepMs: 86_400_000, streamId: id })).toMatchObject({ snapshots: 0 });
  const entries = await sql(database.url, 'SELECT count(*)::int AS n FROM log_entries WHERE stream_id = $1', [id]);
  expect(entries.rows).toEqual([{ n: 2 * positions }]);
  expect((await store.findSnapshots({ streamId: branch.id, kind: 'weights', form: 'x' }, [600, 700]))[0].seq).toBe(600);
}, 120_000);
