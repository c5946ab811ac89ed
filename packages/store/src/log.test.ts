import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { finish, sampleEdit, sampleEntry, sampleStream, sql, write } from './testing/samples.js';

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

async function claimed(name: string) {
  const stream = await sampleStream(store, name);
  await store.enqueueEdits(stream.id, [sampleEdit('Oslo', 'Norway'), sampleEdit('Rome', 'Italy')]);
  const batch = await store.claimBatch(stream.id, 8);
  if (!batch) throw new Error('nothing was claimed');
  return { stream, batch };
}

it('reads entries bit for bit, in the order asked for', async () => {
  const { stream, batch } = await claimed('bits');
  const entry = sampleEntry(stream, batch, 3);
  const odd = Float32Array.from(entry.keys.data);
  odd.set([-0, Number.NaN, Number.POSITIVE_INFINITY, 1e-45]);
  const written = await store.stageEntry({ ...entry, keys: { ...entry.keys, data: odd } }, 1);
  const [read] = await store.readEntries(stream.id, 3, [1]);
  expect(read).toEqual(written);
  expect(Object.is(read.keys.data[0], -0)).toBe(true);
  expect(read.rDiagonal).toEqual(entry.rDiagonal);
  await store.stageEntry(sampleEntry(stream, batch, 5), 1);
  await store.commitBatch(stream.id, 1, { targets: 0, keys: 0, update: 0, total: 0 });
  await write(store, stream, [sampleEdit('Paris', 'France')]);
  expect((await store.readEntries(stream.id, 5, [2, 1])).map((e) => e.seq)).toEqual([2, 1]);
  expect((await store.readEntries(stream.id, 5, [2]))[0].previousHash).toBe(
    (await store.readEntries(stream.id, 5, [1]))[0].hash,
  );
  await expect(store.readEntries(stream.id, 5, [3])).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
});

it('takes the same bytes again and refuses others, also after the commit', async () => {
  const { stream, batch } = await claimed('twice');
  const first = await store.stageEntry(sampleEntry(stream, batch, 3), 1);
  expect((await store.stageEntry(sampleEntry(stream, batch, 3), 1)).hash).toBe(first.hash);
  await expect(store.stageEntry(sampleEntry(stream, batch, 3, 1), 1)).rejects.toMatchObject({ code: 'LOG_CONFLICT' });
  await finish(store, stream, batch);
  expect((await store.stageEntry(sampleEntry(stream, batch, 3), 1)).hash).toBe(first.hash);
  await expect(store.stageEntry(sampleEntry(stream, batch, 3, 1), 1)).rejects.toMatchObject({ code: 'LOG_CONFLICT' });
});

it('keeps one of many writers at once and tells the others', async () => {
  const { stream, batch } = await claimed('race');
  const tries = Array.from({ length: 12 }, (_, i) => store.stageEntry(sampleEntry(stream, batch, 3, i % 2), 1));
  const outcomes = await Promise.allSettled(tries);
  const hashes = outcomes.flatMap((o) => (o.status === 'fulfilled' ? [o.value.hash] : []));
  const codes = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason.code] : []));
  expect(new Set(hashes).size).toBe(1);
  expect(hashes).toHaveLength(6);
  expect(new Set(codes)).toEqual(new Set(['LOG_CONFLICT']));
});

it('refuses a stale owner', async () => {
  const { stream, batch } = await claimed('fence');
  expect(await store.acquireShard(stream.id, 3, 'a')).toEqual({ epoch: 1 });
  expect(await store.acquireShard(stream.id, 3, 'a')).toEqual({ epoch: 1 });
  expect(await store.acquireShard(stream.id, 3, 'b')).toEqual({ epoch: 2 });
  await expect(store.stageEntry(sampleEntry(stream, batch, 3), 1)).rejects.toMatchObject({ code: 'STALE_EPOCH' });
  await store.stageEntry(sampleEntry(stream, batch, 3), 2);
  expect(await store.stagedLayers(stream.id, 1)).toEqual([3]);
  await expect(store.acquireShard('str_nope', 3, 'b')).rejects.toMatchObject({ code: 'UNKNOWN_STREAM' });
});

it('refuses entries that do not fit their batch', async () => {
  const { stream, batch } = await claimed('misfits');
  const entry = sampleEntry(stream, batch, 3);
  const bad = async (change: object, code: string) =>
    expect(store.stageEntry({ ...entry, ...change }, 1)).rejects.toMatchObject({ code });
  await bad({ layer: 4 }, 'INVALID_REQUEST');
  await bad({ configHash: '0'.repeat(64) }, 'INVALID_REQUEST');
  await bad({ seq: 9 }, 'UNKNOWN_POSITION');
  await bad({ rDiagonal: [1] }, 'INVALID_TENSOR');
  await bad({ keys: { ...entry.keys, rows: 7 } }, 'INVALID_TENSOR');
  await bad(sampleEntry(stream, { ...batch, edits: batch.edits.slice(0, 1) }, 3), 'INVALID_TENSOR');
});

it('commits only a complete batch', async () => {
  const { stream, batch } = await claimed('gap');
  await store.stageEntry(sampleEntry(stream, batch, 3), 1);
  const commit = store.commitBatch(stream.id, 1, { targets: 0, keys: 0, update: 0, total: 0 });
  await expect(commit).rejects.toMatchObject({ code: 'SEQUENCE_GAP', message: expect.stringContaining('layers 5') });
  expect((await store.getStream(stream.id)).head).toBe(0);
  expect((await store.getEdit(stream.id, batch.edits[0].id)).status).toBe('queued');
});

it('refuses every change of committed history', async () => {
  const { stream, batch } = await claimed('append-only');
  await store.stageEntry(sampleEntry(stream, batch, 3), 1);
  await expect(sql(database.url, `UPDATE log_entries SET sign = -1 WHERE stream_id = '${stream.id}'`)).rejects.toThrow(
    /append-only/,
  );
  await finish(store, stream, batch);
  await store.createCheckpoint(stream.id, 'c');
  const where = `WHERE stream_id = '${stream.id}'`;
  for (const [statement, message] of [
    [`DELETE FROM log_entries ${where}`, /is committed/],
    [`UPDATE batch_edits SET "column" = 9 ${where} AND "column" = 0`, /is committed/],
    [`DELETE FROM batch_edits ${where}`, /is committed/],
    [`UPDATE batches SET hash = repeat('0', 64) ${where}`, /is committed/],
    [`UPDATE batches SET status = 'claimed' ${where}`, /is committed/],
    [`DELETE FROM batches ${where}`, /is committed/],
    [`UPDATE events SET seq = 9 ${where}`, /append-only/],
    [`TRUNCATE log_entries`, /append-only/],
  ] as const)
    await expect(sql(database.url, statement)).rejects.toThrow(message);
  expect((await store.verifyLog(stream.id, 1)).problems).toEqual([]);
});

it('finds what a superuser changes behind the triggers', async () => {
  const stream = await sampleStream(store, 'tampered');
  for (const name of ['a', 'b', 'c']) await write(store, stream, [sampleEdit(name, 'x')]);
  const tamper = async (table: string, change: string) => {
    await sql(
      database.url,
      `ALTER TABLE ${table} DISABLE TRIGGER USER; ${change}; ALTER TABLE ${table} ENABLE TRIGGER USER`,
    );
    return (await store.verifyLog(stream.id, 3)).problems;
  };
  const at = `WHERE stream_id = '${stream.id}' AND seq = 2`;
  // K, G and B lie one behind the other.
  const size = '4 * d_in * columns';
  const flips = {
    keys: ['rest', '5'],
    g: ['rest', `${size} + 5`],
    b: ['rest', `2 * ${size} + 5`],
    r_diagonal: ['r_diagonal', '5'],
  } as const;
  for (const [tensor, [column, byte]] of Object.entries(flips)) {
    const flip = `UPDATE log_entries SET ${column} = set_byte(${column}, ${byte}, get_byte(${column}, ${byte}) # 1) ${at} AND layer = 5`;
    expect(await tamper('log_entries', flip)).toEqual([
      `batch 2, layer 5: the bytes do not match their hash (${tensor})`,
    ]);
    await expect(store.readEntries(stream.id, 5, [1, 2])).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect(await store.readEntries(stream.id, 3, [1, 2])).toHaveLength(2);
    expect(await tamper('log_entries', flip)).toEqual([]);
  }
  expect(await tamper('log_entries', `UPDATE log_entries SET sign = -1 ${at} AND layer = 3`)).toHaveLength(1);
  expect(await tamper('log_entries', `UPDATE log_entries SET sign = 1 ${at} AND layer = 3`)).toEqual([]);
  const other = (await store.listEdits(stream.id)).edits[2].id;
  const swapped = await tamper('batch_edits', `UPDATE batch_edits SET edit_id = '${other}' ${at}`);
  expect(swapped).toEqual(['batch 2: its hash does not match its parent, entries and edits']);
  const cut = await tamper('batches', `UPDATE batches SET parent_seq = 1 WHERE stream_id = '${stream.id}' AND seq = 3`);
  expect(cut.length).toBeGreaterThan(0);
});
