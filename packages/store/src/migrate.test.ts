import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, migrate } from './index.js';
import { checkServer, readMigrations } from './migrate.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sql } from './testing/samples.js';

const repository = new URL('../../../prisma/migrations/', import.meta.url);
let first: TestDatabase;
let folder: string;

beforeAll(async () => {
  first = await startTestDatabase({ migrated: false });
  folder = await mkdtemp(path.join(os.tmpdir(), 'errata-migrations-'));
  await cp(repository, folder, { recursive: true });
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await first.stop();
});

it('applies all migrations once, however many processes start', async () => {
  const store = createStore({ databaseUrl: first.url });
  await expect(store.ping()).rejects.toMatchObject({ code: 'NOT_READY' });
  const names = (await readMigrations()).map((migration) => migration.name);
  const runs = await Promise.all(Array.from({ length: 6 }, () => migrate(first.url)));
  expect(runs.flatMap((run) => run.applied)).toEqual(names);
  await store.ping();
  await store.close();
});

it('records them as Prisma does', async () => {
  const { rows } = await sql(first.url, 'SELECT * FROM _prisma_migrations');
  const [migration] = await readMigrations();
  expect(rows[0]).toMatchObject({
    migration_name: migration.name,
    checksum: migration.checksum,
    applied_steps_count: 1,
  });
  expect(rows[0].id).toMatch(/^[0-9a-f-]{36}$/);
  expect(rows[0].finished_at).toBeInstanceOf(Date);
  expect([rows[0].logs, rows[0].rolled_back_at]).toEqual([null, null]);
});

it('applies a new one, and undoes one that fails', async () => {
  const at = pathToFileURL(`${folder}/`);
  const add = async (name: string, text: string) => {
    await mkdir(path.join(folder, name), { recursive: true });
    await writeFile(path.join(folder, name, 'migration.sql'), text);
  };
  await add('29990101000000_more', 'CREATE TABLE more (id int); SELECT 1 / 0;');
  await expect(migrate(first.url, at)).rejects.toMatchObject({ code: 'INTERNAL' });
  expect((await sql(first.url, "SELECT to_regclass('more') AS found")).rows[0].found).toBeNull();
  await add('29990101000000_more', 'CREATE TABLE more (id int);');
  expect(await migrate(first.url, at)).toEqual({ applied: ['29990101000000_more'] });
  await expect(migrate(first.url)).rejects.toMatchObject({ message: expect.stringContaining('29990101000000_more') });
});

it('names an applied migration that was changed', async () => {
  const [{ name }] = await readMigrations();
  const file = path.join(folder, name, 'migration.sql');
  await writeFile(file, `${await readFile(file, 'utf8')}\n-- changed`);
  const run = migrate(first.url, pathToFileURL(`${folder}/`));
  await expect(run).rejects.toMatchObject({
    message: expect.stringMatching(`${name} was changed after it was applied`),
  });
});

it('names a server that is too old', () => {
  expect(() => checkServer(160_002)).not.toThrow();
  expect(() => checkServer(150_018)).toThrow('the database is Postgres 15: 16 or newer is needed');
});

it('says that the database cannot be reached', async () => {
  await expect(migrate('postgresql://a:b@127.0.0.1:1/c')).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
});
