import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase, writeSyntheticLog } from './testing/index.js';
import { sampleEdit, sampleMatrix, sampleStream, sql, write } from './testing/samples.js';

const DAY_MS = 86_400_000;
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

const at = (streamId: string, table: string) =>
  sql(database.url, `SELECT DISTINCT seq FROM ${table} WHERE stream_id = $1 ORDER BY seq`, [streamId]).then(
    ({ rows }) => rows.map((row) => Number(row.seq)),
  );

/** 1 and 2 under the head, 3 and 4 rolled back, 5 given up. */
async function forked(name: string) {
  const stream = await sampleStream(store, name);
  for (const subject of ['a', 'b', 'c', 'd']) await write(store, stream, [sampleEdit(`${name} ${subject}`, 'x')]);
  await store.rollback(stream.id, 2);
  await store.enqueueEdits(stream.id, [sampleEdit(`${name} e`, 'x')]);
  const batch = await store.claimBatch(stream.id, 8);
  await store.saveTargets(stream.id, 5, { rows: 4, columns: 1, data: new Float32Array(4) });
  await store.releaseBatch(stream.id, batch?.seq ?? 0);
  for (const seq of [2, 4])
    await store.saveSnapshot({ streamId: stream.id, seq, kind: 'weights', form: 'x' }, [
      { name: 'a', rows: 1, columns: 1, data: Float32Array.of(seq) },
    ]);
  return stream;
}

it('removes what nothing reaches, says so, and refuses to go back there', async () => {
  const { id } = await forked('removed');
  const edits = await store.listEdits(id);
  const dry = await store.collectGarbage({ keepMs: 0, streamId: id, dryRun: true });
  expect(dry).toMatchObject({ batches: 3, entries: 4, snapshots: 1 });
  expect(dry.entryBytes).toBe(4 * (4 * (2 * 6 + 4) + 8));
  expect(await at(id, 'log_entries')).toEqual([1, 2, 3, 4]);
  expect(await store.collectGarbage({ keepMs: DAY_MS, streamId: id })).toMatchObject({ batches: 0, entries: 0 });

  expect(await store.collectGarbage({ keepMs: 0, streamId: id })).toEqual(dry);
  expect(await at(id, 'log_entries')).toEqual([1, 2]);
  expect(await at(id, 'targets')).toEqual([]);
  expect(await at(id, 'snapshots')).toEqual([2]);
  expect(await store.collectGarbage({ keepMs: 0, streamId: id })).toMatchObject({ batches: 0 });
  const [event] = (await store.listEvents(id)).filter(({ kind }) => kind === 'collected');
  expect(event).toMatchObject({ seq: 2, detail: { batches: 3, entries: 4, snapshots: 1, from: 3, to: 5 } });

  const collected = { code: 'POSITION_COLLECTED', status: 410, retryable: false };
  for (const seq of [3, 4]) {
    await expect(store.rollback(id, seq)).rejects.toMatchObject(collected);
    await expect(store.hashAt(id, seq)).rejects.toMatchObject(collected);
    await expect(store.lineage(id, seq)).rejects.toMatchObject(collected);
    await expect(store.verifyLog(id, seq)).rejects.toMatchObject(collected);
    const snapshot = store.saveSnapshot({ streamId: id, seq, kind: 'weights', form: 'x' }, []);
    await expect(snapshot).rejects.toMatchObject(collected);
  }
  expect((await store.getStream(id)).head).toBe(2);
  expect((await store.verifyLog(id, 2)).problems).toEqual([]);
  expect(await store.listEdits(id)).toEqual(edits);
  expect((await store.listBatches(id)).map(({ seq, collected: gone }) => [seq, gone])).toEqual([
    [1, false],
    [2, false],
    [3, true],
    [4, true],
  ]);
  await write(store, await store.getStream(id), [sampleEdit('removed f', 'x')]);
  expect((await store.getStream(id)).head).toBe(6);
});

it('keeps what was left within the retention', async () => {
  const { id } = await forked('retained');
  const age = (days: number, table: string, column: string, where: string) =>
    sql(
      database.url,
      `ALTER TABLE ${table} DISABLE TRIGGER USER; UPDATE ${table} SET ${column} = now() - interval '${days} days' WHERE stream_id = '${id}' AND ${where};
       ALTER TABLE ${table} ENABLE TRIGGER USER`,
    );
  await age(9, 'batches', 'committed_at', `status = 'committed'`);
  const keepWeek = { keepMs: 7 * DAY_MS, streamId: id, dryRun: true };
  // Old batches that were under the head until today.
  expect((await store.collectGarbage(keepWeek)).batches).toBe(0);
  await age(8, 'events', 'at', `kind = 'rollback'`);
  expect((await store.collectGarbage(keepWeek)).batches).toBe(2);
});

it('guards whatever anything stands on, whoever asks', async () => {
  const { id } = await forked('guarded');
  await store.rollback(id, 4);
  await store.createCheckpoint(id, 'kept');
  await store.rollback(id, 2);
  const collect = (seq: number) =>
    sql(database.url, 'UPDATE batches SET collected_at = now() WHERE stream_id = $1 AND seq = $2', [id, seq]);
  await expect(collect(1)).rejects.toThrow('a batch builds on it');
  await expect(collect(2)).rejects.toThrow('a batch builds on it');
  await expect(collect(4)).rejects.toThrow('a checkpoint names it');
  await expect(sql(database.url, 'DELETE FROM log_entries WHERE stream_id = $1', [id])).rejects.toThrow('is committed');
  expect(await store.collectGarbage({ keepMs: 0, streamId: id })).toMatchObject({ batches: 1, entries: 0 });
  expect((await store.verifyLog(id, 4)).problems).toEqual([]);
});

it('goes on where it was interrupted', async () => {
  const stream = await sampleStream(store, 'interrupted');
  const [keys, b] = [sampleMatrix(6, 1, 1), sampleMatrix(4, 1, 2)];
  await writeSyntheticLog(database.url, stream, 70, () => ({ keys, g: keys, b, rDiagonal: [1] }));
  await store.rollback(stream.id, 2);
  const stop = new AbortController();
  let looked = 0;
  const signal = new Proxy(stop.signal, {
    get: (target, name) =>
      name === 'throwIfAborted'
        ? () => {
            if (++looked === 2) stop.abort();
            target.throwIfAborted();
          }
        : Reflect.get(target, name, target),
  });
  await expect(store.collectGarbage({ keepMs: 0, streamId: stream.id, signal })).rejects.toThrow();
  expect(await at(stream.id, 'log_entries')).toHaveLength(70 - 64);
  expect(await store.collectGarbage({ keepMs: 0, streamId: stream.id })).toMatchObject({ batches: 68 - 64 });
  expect(await at(stream.id, 'log_entries')).toEqual([1, 2]);
});

it('removes chunks when no snapshot names them', async () => {
  const count = async () => Number((await sql(database.url, 'SELECT count(*) AS n FROM chunks')).rows[0].n);
  const { id } = await sampleStream(store, 'chunks');
  await write(store, await store.getStream(id), [sampleEdit('chunks', 'x')]);
  await store.collectGarbage({ keepMs: 0, graceMs: -1000 });
  const before = await count();
  const save = (form: string, values: readonly number[]) =>
    store.saveSnapshot(
      { streamId: id, seq: 1, kind: 'weights', form },
      values.map((value, i) => ({ name: `t${i}`, rows: 1, columns: 1, data: Float32Array.of(value) })),
    );
  const { snapshot } = await save('one', [1e9, 2e9]);
  await save('two', [2e9, 3e9]);
  expect(await count()).toBe(before + 3);
  await store.dropSnapshot(snapshot.id);
  expect(await store.collectGarbage({ keepMs: 0 })).toMatchObject({ chunks: 0 });
  const dry = await store.collectGarbage({ keepMs: 0, graceMs: -1000, dryRun: true });
  expect(dry).toMatchObject({ chunks: 1, chunkBytes: 4 });
  expect(await store.collectGarbage({ keepMs: 0, graceMs: -1000 })).toEqual(dry);
  expect(await count()).toBe(before + 2);
});

type Step = {
  readonly act: 'write' | 'rollback' | 'checkpoint' | 'branch' | 'snapshot' | 'claim' | 'collect';
  readonly pick: number;
};
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    act: fc.oneof(
      { weight: 5, arbitrary: fc.constant('write' as const) },
      { weight: 4, arbitrary: fc.constant('rollback' as const) },
      fc.constantFrom(
        'checkpoint' as const,
        'branch' as const,
        'snapshot' as const,
        'claim' as const,
        'collect' as const,
      ),
    ),
    pick: fc.nat(1000),
  }),
  { minLength: 4, maxLength: 24 },
);

it('keeps every reachable position readable and no other, whatever happened', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const stream = await sampleStream(store, `random ${++run}`);
      const { id } = stream;
      const parents = new Map<number, number>();
      const marked = new Set<number>();
      const branches: { id: string; seq: number }[] = [];
      const collected = new Set<number>();
      let head = 0;
      const reachable = () => {
        const found = new Set<number>();
        for (let seq of [head, ...marked])
          for (; seq > 0 && !found.has(seq); seq = parents.get(seq) ?? 0) found.add(seq);
        return found;
      };
      const collect = async () => {
        await store.collectGarbage({ keepMs: 0, streamId: id });
        const kept = reachable();
        for (const seq of parents.keys()) if (!kept.has(seq)) collected.add(seq);
      };
      for (const [i, { act, pick }] of [...plan, { act: 'collect', pick: 0 } as const].entries()) {
        const there = [0, ...parents.keys()].filter((seq) => !collected.has(seq));
        const seq = there[pick % there.length];
        if (act === 'write') {
          const batch = await write(store, stream, [sampleEdit(`${run}.${i}`, 'x')]);
          parents.set(batch.seq, head);
          head = batch.seq;
        } else if (act === 'rollback') {
          await store.rollback(id, seq);
          head = seq;
        } else if (act === 'checkpoint') {
          await store.createCheckpoint(id, `c${i}`);
          marked.add(head);
        } else if (act === 'branch') {
          const branch = await store.createBranch(id, { name: `random ${run} branch ${i}`, seq });
          branches.push({ id: branch.id, seq });
          marked.add(seq);
        } else if (act === 'snapshot' && seq > 0) {
          const tensor = { name: 'a', rows: 1, columns: 1, data: Float32Array.of(seq) };
          await store.saveSnapshot({ streamId: id, seq, kind: 'weights', form: 'x' }, [tensor]);
        } else if (act === 'claim') {
          await store.enqueueEdits(id, [sampleEdit(`${run}.${i} claimed`, 'x')]);
          const batch = await store.claimBatch(id, 8);
          if (pick % 2 === 0 && batch) await store.releaseBatch(id, batch.seq);
        } else if (act === 'collect') await collect();
      }
      const kept = reachable();
      for (const seq of kept) {
        const { seqs } = await store.lineage(id, seq);
        for (const layer of stream.config.layers) await store.readEntries(id, layer, seqs);
      }
      for (const branch of branches) {
        const { seqs } = await store.lineage(branch.id, branch.seq);
        await store.readEntries(branch.id, 3, seqs);
      }
      for (const seq of [head, ...marked]) expect((await store.verifyLog(id, seq)).problems).toEqual([]);
      expect(await at(id, 'log_entries')).toEqual([...kept].sort((a, b) => a - b));
      for (const { seq, id: snapshot } of await store.listSnapshots(id)) {
        expect(kept).toContain(seq);
        await store.readSnapshotTensor(snapshot, 'a');
      }
      for (const seq of collected) {
        const branch = store.createBranch(id, { name: `random ${run} late ${seq}`, seq });
        await expect(branch).rejects.toMatchObject({ code: 'POSITION_COLLECTED' });
        await expect(store.rollback(id, seq)).rejects.toMatchObject({ code: 'POSITION_COLLECTED' });
      }
    }),
    { numRuns: 12 },
  );
}, 120_000);
