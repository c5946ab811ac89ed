import { cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, migrate, type Store } from './index.js';
import { readMigrations } from './migrate.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleEdit, sampleStream, sql, write } from './testing/samples.js';

const PARTITIONED = '20261126030000_partitioned_log';
const repository = new URL('../../../prisma/migrations/', import.meta.url);
let now: TestDatabase;
let before: TestDatabase;
let store: Store;

beforeAll(async () => {
  now = await startTestDatabase();
  before = await startTestDatabase({ migrated: false });
  store = createStore({ databaseUrl: now.url });
});
afterAll(async () => {
  await store.close();
  await before.stop();
  await now.stop();
});

/** Columns that older tables had, out of what came after them. */
const EARLIER: Record<string, string> = {
  keys: 'substring(tensors || rest FOR 4 * d_in * columns)',
  g: 'substring(tensors || rest FROM 4 * d_in * columns + 1 FOR 4 * d_in * columns)',
  b: 'substring(tensors || rest FROM 8 * d_in * columns + 1)',
};

/** Copies what the older table has columns for. */
async function copyRows(table: string): Promise<void> {
  const { rows: columns } = await sql(
    before.url,
    'SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position',
    [table],
  );
  const names = columns.map(({ name }) => `"${name}"`);
  const values = columns.map(({ name }) => `${EARLIER[name] ?? `"${name}"`} AS "${name}"`);
  const { rows } = await sql(now.url, `SELECT ${values.join(', ')} FROM "${table}"`);
  const places = names.map((_, i) => `$${i + 1}`).join(', ');
  for (const row of rows)
    await sql(
      before.url,
      `INSERT INTO "${table}" (${names.join(', ')}) VALUES (${places})`,
      columns.map(({ name }) => row[name]),
    );
}

it('keeps the entries of a log that was one table, and names its tensors', async () => {
  const streams = [await sampleStream(store, 'one'), await sampleStream(store, 'two')];
  for (const stream of streams)
    for (const subject of ['Ada', 'Bela', 'Cleo']) await write(store, stream, [sampleEdit(subject, 'Bremen')]);
  // One whose tensors are more than fits beside them in a row.
  await write(
    store,
    streams[0],
    Array.from({ length: 100 }, (_, i) => sampleEdit(`many ${i}`, 'Bremen')),
  );
  const folder = await mkdtemp(path.join(os.tmpdir(), 'errata-migrations-'));
  const older = (await readMigrations()).map(({ name }) => name).filter((name) => name < PARTITIONED);
  for (const name of older) await cp(new URL(name, repository), path.join(folder, name), { recursive: true });
  await migrate(before.url, pathToFileURL(`${folder}/`));
  await rm(folder, { recursive: true });
  for (const table of ['models', 'streams', 'edits', 'batches', 'batch_edits', 'log_entries']) await copyRows(table);

  expect((await migrate(before.url)).applied[0]).toBe(PARTITIONED);
  const moved = createStore({ databaseUrl: before.url });
  for (const { id } of streams) {
    const { head, headHash } = await moved.getStream(id);
    expect(await moved.verifyLog(id, head)).toMatchObject({ hash: headHash, entries: 2 * head, problems: [] });
    const { seqs } = await store.lineage(id, head);
    expect(await moved.readEntries(id, 3, seqs)).toEqual(await store.readEntries(id, 3, seqs));
  }
  const packed = 'SELECT stream_id, seq, layer, tensors, rest FROM log_entries ORDER BY 1, 2, 3';
  expect((await sql(before.url, packed)).rows).toEqual((await sql(now.url, packed)).rows);
  await moved.close();
  const hashes = 'SELECT stream_id, seq, layer, tensor_hashes FROM log_entries ORDER BY 1, 2, 3';
  expect((await sql(before.url, hashes)).rows).toEqual((await sql(now.url, hashes)).rows);
});

it('keeps tensors uncompressed in whole pieces, and history append-only in every partition', async () => {
  const { rows } = await sql(
    now.url,
    `SELECT c.relname, string_agg(DISTINCT a.attstorage::text, '') AS storage
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE i.inhparent = 'log_entries'::regclass AND a.attname = 'tensors' GROUP BY 1 ORDER BY 1`,
  );
  const lengths = await sql(
    now.url,
    'SELECT DISTINCT length(tensors) AS tensors, length(rest) AS rest FROM log_entries ORDER BY 1',
  );
  expect(lengths.rows).toEqual([
    { tensors: 0, rest: 64 },
    { tensors: 3 * 1996, rest: 412 },
  ]);
  expect(rows).toHaveLength(16);
  for (const { relname, storage } of rows) {
    expect(storage).toBe('e');
    await expect(sql(now.url, `TRUNCATE ${relname}`)).rejects.toThrow('append-only');
  }
  for (const change of ['UPDATE log_entries SET layer = 9', 'DELETE FROM log_entries'])
    await expect(sql(now.url, change)).rejects.toThrow(/refused/);
});
